"""Requests of students and representatives: what is open, what is overdue, what was answered."""
