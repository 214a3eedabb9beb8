"""HTTP at the edge: FastAPI, bearer tokens, problem+json. Nothing is decided here; use cases decide and record."""
