"""The portfolio: achievements, awards with their basis, and credited results (S0-4.9, S1-4.9)."""
