"""An index in PostgreSQL with pgvector (extra `postgres`)."""
