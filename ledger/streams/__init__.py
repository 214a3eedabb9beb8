"""What rules and store share: lanes, events, proposals, and the record classes that events are kept under.

Below both, so that the store does not know the school's rules and the rules do not know the store.
"""
