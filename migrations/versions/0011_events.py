"""events: what users are told, in one order that can be resumed, and their webhooks"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


TRANSITIONS = [
    {"noun": "webhook_delivery", "before": "pending", "after": "delivered"},
    {"noun": "webhook_delivery", "before": "pending", "after": "failed"},
    {"noun": "webhook_delivery", "before": "delivered", "after": "pending"},
    {"noun": "webhook_delivery", "before": "failed", "after": "pending"},
]
LAWS = Path(__file__).parent.parent / "sql" / "0011_events.sql"


def upgrade() -> None:
    _events()
    _endpoints()
    _deliveries()
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
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


def _endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("url", sa.String(1000), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.String(32)), nullable=False, comment="of events"),
        sa.Column("description", sa.String(200), server_default="", nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret_sealed", sa.LargeBinary(), comment="signs as well until old_secret_until"),
        sa.Column("old_secret_until", sa.DateTime(timezone=True)),
        sa.Column("after_event", sa.BigInteger(), nullable=False, comment="events up to this one are not for it"),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column("disabled_reason", sa.String(16)),
        _time("created_at"),
        _time("updated_at"),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("cardinality(kinds) > 0", name=op.f("webhook_endpoints_wants_something")),
        sa.CheckConstraint(
            "(old_secret_sealed IS NULL) = (old_secret_until IS NULL)",
            name=op.f("webhook_endpoints_old_secret_has_an_end"),
        ),
        sa.CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL)", name=op.f("webhook_endpoints_disabled_ones_say_why")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_webhook_endpoints_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index(
        "ix_webhook_endpoints_user",
        "webhook_endpoints",
        ["user_id", "created_at", "id"],
        postgresql_where=sa.text("removed_at IS NULL"),
    )


def _deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(32), nullable=False, comment="the message's id at the endpoint"),
        sa.Column("endpoint_id", sa.String(32), nullable=False),
        sa.Column("event_id", sa.BigInteger(), comment="null: a ping"),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), server_default="pending", nullable=False),
        sa.Column(
            "round", sa.Integer(), server_default="1", nullable=False, comment="how often its sending was begun"
        ),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("(event_id IS NULL) = (kind = 'ping')", name=op.f("webhook_deliveries_tells_of_an_event")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_endpoint_id_webhook_endpoints"),
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_webhook_deliveries_event_id_events")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("endpoint_id", "event_id", name=op.f("uq_webhook_deliveries_endpoint_id_event_id")),
    )
    op.create_index("ix_webhook_deliveries_endpoint", "webhook_deliveries", ["endpoint_id", "created_at", "id"])
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("delivery_id", sa.String(32), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        _time("at"),
        sa.Column("status_code", sa.Integer()),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(64), comment="a code; null: taken"),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_deliveries.id"],
            name=op.f("fk_webhook_attempts_delivery_id_webhook_deliveries"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_attempts")),
        sa.UniqueConstraint(
            "delivery_id", "round", "number", name=op.f("uq_webhook_attempts_delivery_id_round_number")
        ),
    )
    op.create_table(
        "webhook_cursor",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False, comment="events up to this one are fanned out"),
        sa.CheckConstraint("is_only", name=op.f("webhook_cursor_has_one_row")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_webhook_cursor")),
    )


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
