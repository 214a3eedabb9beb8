"""The formats of the transparency log: pure, on bytes alone, without database or network."""
