"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("shop", sa.String(length=200), nullable=False),
        sa.Column("credential_hash", sa.String(length=64), nullable=False),
        sa.Column("enrolled_at", sa.String(length=32), nullable=False),
        sa.Column("last_seen_at", sa.String(length=32), nullable=False),
        sa.Column("clock_skew_s", sa.BigInteger(), nullable=False),
        sa.Column("runtime_version", sa.String(length=200), nullable=False),
        sa.Column("pack", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("device_id"),
    )
    op.create_table(
        "enrolments",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("shop", sa.String(length=200), nullable=False),
        sa.Column("expires_at", sa.String(length=32), nullable=False),
        sa.Column("used_at", sa.String(length=32), nullable=False),
        sa.Column("used_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("code_hash"),
    )
    op.create_table(
        "handoffs",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("received_at", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("updated_at", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("handoffs_by_record", "handoffs", ["device_id", "stream", "seq"], unique=True)
    op.create_index("handoffs_by_status", "handoffs", ["status", "id"], unique=False)
    op.create_table(
        "records",
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("received_at", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("problem", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "stream", "seq"),
    )
    op.create_index("records_by_kind", "records", ["kind", "received_at"], unique=False)
    op.create_table(
        "turn_metrics",
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("session", sa.String(length=128), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=200), nullable=False),
        sa.Column("intent", sa.String(length=200), nullable=False),
        sa.Column("decision", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.String(length=200), nullable=False),
        sa.Column("first_token_ms", sa.Double(), nullable=True),
        sa.Column("total_ms", sa.Double(), nullable=True),
        sa.Column("blocked_count", sa.BigInteger(), nullable=False),
        sa.Column("runtime_version", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "stream", "seq"),
    )
    op.create_index(
        "turn_metrics_by_time", "turn_metrics", ["device_id", "started_at"], unique=False
    )
    op.create_table(
        "streams",
        sa.Column("device_id", sa.String(length=128), nullable=False),
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("contiguous", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["devices.device_id"],
        ),
        sa.PrimaryKeyConstraint("device_id", "stream"),
    )


def downgrade() -> None:
    op.drop_table("streams")
    op.drop_index("turn_metrics_by_time", table_name="turn_metrics")
    op.drop_table("turn_metrics")
    op.drop_index("records_by_kind", table_name="records")
    op.drop_table("records")
    op.drop_index("handoffs_by_status", table_name="handoffs")
    op.drop_index("handoffs_by_record", table_name="handoffs")
    op.drop_table("handoffs")
    op.drop_table("enrolments")
    op.drop_table("devices")
