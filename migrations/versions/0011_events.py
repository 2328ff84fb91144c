"""events: what users are told, in one order that can be resumed"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0008"


LAWS = Path(__file__).parent.parent / "sql" / "0011_events.sql"


def upgrade() -> None:
    _events()
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="the cursor; see event_horizon()"
        ),
        sa.Column("user_id", sa.String(32), comment="null: for everybody"),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="ids, states, amounts; nothing personal",
        ),
        _time("at"),
        sa.CheckConstraint(
            "jsonb_typeof(payload) = 'object' AND length(payload::text) <= 8000", name=op.f("events_payload_is_small")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_user", "events", ["user_id", "id"])


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
