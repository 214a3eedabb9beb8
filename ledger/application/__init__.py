"""Use cases: `record` (commands, imports) and `disclose` (reads through the gate)."""
