"""What people read: each use case goes through the gate, which records and commits the disclosure first."""
