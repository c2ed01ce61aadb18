"""The server's database schema as Alembic steps. Append only."""
