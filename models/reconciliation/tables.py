"""What the bank's statement said, what each comparison came to, and the differences that people work through.

The other side, what our own books say happened at the bank accounts, is the view ``bank_movements``.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from models.base import metadata, timestamp

bank_lines = Table(
    "bank_lines",
    metadata,
    Column("id", String(32), primary_key=True, comment="of provider, line and content, so the same line is one row"),
    Column("provider", String(32), nullable=False),
    Column("line_id", String(200), nullable=False, comment="the provider's own"),
    Column("day", Date, nullable=False, comment="of the statement that shows it, in the bank's time"),
    Column("key", String(100)),
    Column("end_to_end_id", String(100)),
    Column("amount_centavos", BigInteger, nullable=False, comment="signed: money in is positive"),
    Column("time", DateTime(timezone=True), nullable=False),
    timestamp("first_seen_at"),
    Column(
        "gone_at", DateTime(timezone=True), comment="since then the statement does not show it, or shows it otherwise"
    ),
    Index("uq_bank_lines_shown", "provider", "line_id", unique=True, postgresql_where=text("gone_at IS NULL")),
    Index("ix_bank_lines_day", "provider", "day"),
    Index("ix_bank_lines_key", "provider", "key", postgresql_where=text("key IS NOT NULL")),
    Index(
        "ix_bank_lines_end_to_end_id",
        "provider",
        "end_to_end_id",
        postgresql_where=text("end_to_end_id IS NOT NULL"),
    ),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("provider", String(32), nullable=False),
    Column("day", Date, nullable=False, comment="in the bank's time"),
    Column("run", String(64), nullable=False, comment="the workflow's run, of which there is one row"),
    Column("bank_answered", Boolean, nullable=False, comment="false: nothing was compared"),
    Column("statement_read_at", DateTime(timezone=True)),
    Column("lines", Integer, nullable=False),
    Column("lines_centavos", BigInteger, nullable=False),
    Column("movements", Integer, nullable=False),
    Column("movements_centavos", BigInteger, nullable=False),
    Column("opening_centavos", BigInteger, comment="the account's balance as the bank says, where it is known"),
    Column("closing_centavos", BigInteger, comment="likewise; of today: when the statement was read"),
    Column("classes", JSONB, nullable=False, server_default="{}", comment="of each class, its rows and sums"),
    Column("started_at", DateTime(timezone=True), nullable=False),
    timestamp("finished_at"),
    CheckConstraint("bank_answered = (statement_read_at IS NOT NULL)", name="say_when_the_bank_answered"),
    UniqueConstraint("provider", "day", "run"),
    Index("ix_reconciliations_newest", "provider", "day", "finished_at"),
)

breaks = Table(
    "breaks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("provider", String(32), comment="null: no bank account of ours explains the posting"),
    Column("class", String(32), nullable=False),
    Column("line_id", String(32), ForeignKey("bank_lines.id")),
    Column("ledger_key", String(200), ForeignKey("ledger_transactions.key")),
    Column("day", Date, nullable=False, comment="the line's, else the movement's, in the bank's time"),
    Column("bank_centavos", BigInteger, comment="the line's amount"),
    Column("ledger_centavos", BigInteger, comment="the movement's amount, from the bank's side"),
    Column("hint", String(32)),
    Column(
        "suggestions", JSONB, nullable=False, server_default="[]", comment="of the other side: same amount, same day"
    ),
    Column("status", String(16), nullable=False, server_default="open"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("owner_id", String(32), ForeignKey("users.id"), comment="the operator who works on it"),
    Column("resolution", String(32)),
    Column("evidence", String(200)),
    timestamp("first_seen_at"),
    timestamp("last_seen_at"),
    Column("told_at", DateTime(timezone=True), comment="when the log asked for a person"),
    timestamp("updated_at"),
    UniqueConstraint("provider", "class", "line_id", "ledger_key", postgresql_nulls_not_distinct=True),
    CheckConstraint("line_id IS NOT NULL OR ledger_key IS NOT NULL", name="are_about_something"),
    CheckConstraint("(line_id IS NULL) = (bank_centavos IS NULL)", name="have_the_lines_amount"),
    CheckConstraint("(ledger_key IS NULL) = (ledger_centavos IS NULL)", name="have_the_movements_amount"),
    CheckConstraint(
        "status NOT IN ('acknowledged', 'resolved') OR owner_id IS NOT NULL", name="in_work_have_an_owner"
    ),
    CheckConstraint(
        "(status = 'resolved') = (resolution IS NOT NULL AND evidence IS NOT NULL)", name="resolved_say_why"
    ),
    Index("ix_breaks_age", "first_seen_at", "id"),
    Index("ix_breaks_line", "line_id"),
    Index("ix_breaks_movement", "ledger_key"),
    Index("ix_breaks_live", "status", "class", postgresql_where=text("status IN ('open', 'acknowledged')")),
)

break_history = Table(
    "break_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("break_id", String(32), ForeignKey("breaks.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("old_status", String(16)),
    Column("new_status", String(16), nullable=False),
    Column("actor", String(64), nullable=False, comment="system, or a user's id"),
    Column("reason", String(64), comment="a resolution, or what a later run found"),
    Column("evidence", String(200)),
    timestamp("at"),
    UniqueConstraint("break_id", "version"),
)
