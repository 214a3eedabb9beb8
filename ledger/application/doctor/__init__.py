"""The doctor: looks at everything that a ledger needs, changes nothing, and says of each finding what to do."""
