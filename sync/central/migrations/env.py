"""Runs the steps on the connection the server hands over."""

from __future__ import annotations

from alembic import context

from sync.central.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
