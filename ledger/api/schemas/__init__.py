"""Forms: what a request's body may hold, a module for each capability. Strict: no unknown field, nothing coerced."""
