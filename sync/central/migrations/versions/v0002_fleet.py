"""Operators, audit log, figures a day, alerts, releases and rollouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=260), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.String(length=32), nullable=False),
        sa.Column("delivered_at", sa.String(length=32), nullable=False),
        sa.Column("last_error", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("alerts_by_next", "alerts", ["next_at"], unique=False)
    op.create_index("alerts_once", "alerts", ["kind", "subject", "day"], unique=True)
    op.create_table(
        "audit_log",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=140), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "day_figures",
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("pack", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=200), nullable=False),
        sa.Column("shop", sa.String(length=200), nullable=False),
        sa.Column("turns", sa.BigInteger(), nullable=False),
        sa.Column("dialogues", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("escalated", sa.BigInteger(), nullable=False),
        sa.Column("unanswered", sa.BigInteger(), nullable=False),
        sa.Column("blocked", sa.BigInteger(), nullable=False),
        sa.Column("ttff", sa.Text(), nullable=False),
        sa.Column("intents", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "day", "version", "pack", "language"),
    )
    op.create_index("day_figures_by_day", "day_figures", ["day"], unique=False)
    op.create_table(
        "day_marks",
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("due_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "day"),
    )
    op.create_index("ix_day_marks_due_at", "day_marks", ["due_at"], unique=False)
    op.create_table(
        "operators",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.String(length=140), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("cards", sa.Text(), nullable=False),
        sa.Column("target", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("created_by", sa.String(length=140), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "unanswered",
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "stream", "seq"),
    )
    op.create_index("unanswered_by_time", "unanswered", ["started_at"], unique=False)
    op.create_table(
        "rollouts",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("release_id", sa.String(length=140), nullable=False),
        sa.Column("stages", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("stage_since", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("judged_from", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("created_by", sa.String(length=140), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["releases.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("rollouts_by_state", "rollouts", ["state"], unique=False)
    op.create_table(
        "device_updates",
        sa.Column("rollout_id", _NUMBER, nullable=False),
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("offered_at", sa.String(length=32), nullable=False),
        sa.Column("updated_at", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"],
            ["rollouts.id"],
        ),
        sa.PrimaryKeyConstraint("rollout_id", "device_id"),
    )
    op.create_index("device_updates_by_device", "device_updates", ["device_id"], unique=False)
    op.add_column(
        "devices",
        sa.Column("next_credential_hash", sa.String(length=64), nullable=False, server_default=""),
    )
    op.add_column(
        "devices", sa.Column("ring", sa.String(length=64), nullable=False, server_default="")
    )
    op.add_column(
        "devices",
        sa.Column("running_name", sa.String(length=64), nullable=False, server_default=""),
    )
    op.add_column(
        "devices",
        sa.Column("running_version", sa.String(length=64), nullable=False, server_default=""),
    )
    op.add_column(
        "devices",
        sa.Column("running_sha256", sa.String(length=64), nullable=False, server_default=""),
    )
    op.add_column(
        "devices", sa.Column("proved_at", sa.String(length=32), nullable=False, server_default="")
    )
    op.add_column(
        "turn_metrics", sa.Column("pack", sa.String(length=200), nullable=False, server_default="")
    )
    op.execute(
        "INSERT INTO day_marks (device_id, day, due_at) "
        "SELECT DISTINCT device_id, substr(started_at, 1, 10), '' FROM turn_metrics"
    )


def downgrade() -> None:
    op.drop_column("turn_metrics", "pack")
    op.drop_column("devices", "proved_at")
    op.drop_column("devices", "running_sha256")
    op.drop_column("devices", "running_version")
    op.drop_column("devices", "running_name")
    op.drop_column("devices", "ring")
    op.drop_column("devices", "next_credential_hash")
    op.drop_index("device_updates_by_device", table_name="device_updates")
    op.drop_table("device_updates")
    op.drop_index("rollouts_by_state", table_name="rollouts")
    op.drop_table("rollouts")
    op.drop_index("unanswered_by_time", table_name="unanswered")
    op.drop_table("unanswered")
    op.drop_table("releases")
    op.drop_table("operators")
    op.drop_index("ix_day_marks_due_at", table_name="day_marks")
    op.drop_table("day_marks")
    op.drop_index("day_figures_by_day", table_name="day_figures")
    op.drop_table("day_figures")
    op.drop_table("audit_log")
    op.drop_index("alerts_once", table_name="alerts")
    op.drop_index("alerts_by_next", table_name="alerts")
    op.drop_table("alerts")
