"""What people and systems record: a command for each thing that may happen, a module for each capability."""
