"""The HTTP routes, one module a noun; each only translates between HTTP and what the service does."""
