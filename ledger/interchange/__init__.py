"""Parsers and writers of foreign formats: bytes on one side, plain records on the other.

Nothing here knows a database, an event or a use case, so a format can be read, tested and fuzzed alone.
"""
