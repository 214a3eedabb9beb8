"""Who may do or see what, for which purpose, on which legal basis: pure functions that answer with a reason."""
