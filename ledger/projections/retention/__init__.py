"""Retention: for each student and record class, when the clock started; when it ends follows from the file plan."""
