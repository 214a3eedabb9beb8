"""The disclosure register: who saw whose data, when, in which office, for which purpose; refusals likewise."""
