"""What may happen in a school, and what follows from it: events, states and decisions.

Pure: no I/O, no SQL, no clock. A decision reads lanes and returns proposals; only the executor turns them into events,
so a refused command cannot leave a trace.
"""
