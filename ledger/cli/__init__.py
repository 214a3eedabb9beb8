"""The command line: thin. It reads settings and arguments, calls use cases, and prints; rules live elsewhere."""
