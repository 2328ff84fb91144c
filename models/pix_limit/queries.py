"""What a user has moved by PIX today."""

from datetime import datetime

from sqlalchemy import exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge.states import ChargeStatus
from models.charge.tables import charges
from models.pix_limit.rules import day_of
from models.pix_limit.types import PixLimits, Used
from models.pix_withdrawal.states import PixWithdrawalStatus
from models.pix_withdrawal.tables import pix_withdrawals
from models.receipt.states import ReceiptStatus
from models.receipt.tables import pix_receipts

CAME_IN = (ReceiptStatus.BLOCKED, ReceiptStatus.RECEIVED, ReceiptStatus.CREDITED, ReceiptStatus.TAKEN_BACK)


async def deposited(conn: AsyncConnection, user_id: str, limits: PixLimits, now: datetime) -> Used:
    """Deposits ordered today that were paid, or that may still be: one that ran out unpaid gives its part back."""
    c, r, day = charges.c, pix_receipts.c, day_of(now)
    is_paid = exists().where(r.charge_key == c.key, r.status.in_(CAME_IN))
    may_be_paid = or_(c.asked_at.is_(None), c.asked_at < c.accepts_until)
    statement = select(func.coalesce(func.sum(c.amount_centavos), 0)).where(
        c.user_id == user_id,
        c.trade_id.is_(None),
        c.p2p_trade_id.is_(None),
        c.created_at >= day.starts_at,
        c.created_at < day.ends_at,
        c.status != ChargeStatus.REFUSED,
        or_(is_paid, may_be_paid),
    )
    return Used(limits.deposit_day_most_centavos, int((await conn.execute(statement)).scalar_one()))


async def withdrawn(conn: AsyncConnection, user_id: str, limits: PixLimits, now: datetime) -> Used:
    """Withdrawals ordered today, but for those whose reais are in the balance again."""
    w, day = pix_withdrawals.c, day_of(now)
    statement = select(func.coalesce(func.sum(w.amount_centavos), 0)).where(
        w.user_id == user_id,
        w.created_at >= day.starts_at,
        w.created_at < day.ends_at,
        w.status != PixWithdrawalStatus.REFUNDED,
    )
    return Used(limits.withdrawal_day_most_centavos, int((await conn.execute(statement)).scalar_one()))
