"""The store: funnels, uploads, observations, published versions and runs, on SQLite or PostgreSQL."""
