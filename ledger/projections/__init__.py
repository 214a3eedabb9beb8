"""Views that people read, computed from the events alone, each row sealed under the record class that it shows.

A package per view: `projection.py` (which rows an event changes), `tables.sql`, `queries.py` (importable from the
disclosing use cases only). `runner.py` keeps them up to date, `views.py` lists them.
"""
