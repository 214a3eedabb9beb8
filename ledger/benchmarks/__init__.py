"""Measurements against the stock part, in one run on one database: `ledger bench`."""
