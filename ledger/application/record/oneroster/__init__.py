"""Import of OneRoster 1.2 CSV packages: imported history is recorded as it was, and flagged, not judged again."""
