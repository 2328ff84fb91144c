"""charges that pay for P2P trades"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

LAWS = Path(__file__).parent.parent / "sql" / "0013_p2p_charges.sql"


def upgrade() -> None:
    op.add_column("charges", sa.Column("p2p_trade_id", sa.String(32), comment="the reais go to its seller"))
    op.create_foreign_key(
        op.f("fk_charges_p2p_trade_id_p2p_trades"), "charges", "p2p_trades", ["p2p_trade_id"], ["id"]
    )
    op.create_unique_constraint(op.f("uq_charges_p2p_trade_id"), "charges", ["p2p_trade_id"])
    op.create_check_constraint(
        op.f("charges_one_thing_is_paid"), "charges", "trade_id IS NULL OR p2p_trade_id IS NULL"
    )
    op.create_check_constraint(op.f("charges_p2p_ones_have_their_trades_name"), "charges", "p2p_trade_id = key")
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)
