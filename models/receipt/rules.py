"""What becomes of a PIX that came in, decided from facts alone. Pure: no clock, no database.

It is credited to what the charge is for, or goes back to whoever paid it, with a coded reason. Nothing is kept
that was not asked for, and nothing is credited twice.
"""

from enum import StrEnum

from models.charge.types import Charge
from models.instant_trade.states import TradeStatus
from models.p2p_trade.states import P2PTradeStatus
from models.receipt.types import Payer, Receipt


class RefundReason(StrEnum):
    """Why a receipt goes back. The last two are decided by the trade it paid for, the others here."""

    AMOUNT_DIFFERS = "amount_differs"
    PAYER_UNKNOWN = "payer_unknown"
    PAYER_DIFFERS = "payer_differs"
    AFTER_EXPIRY = "paid_after_expiry"
    DUPLICATE = "duplicate_payment"
    TRADE_OVER = "trade_over"
    DELIVERY_FAILED = "delivery_failed"
    RULED = "operator_ruling"


PAYABLE: frozenset[TradeStatus | P2PTradeStatus] = frozenset(
    {
        TradeStatus.AWAITING_PAYMENT,
        TradeStatus.CONFIRMING_PAYMENT,
        TradeStatus.NEEDS_REVIEW,
        P2PTradeStatus.OPEN,
        P2PTradeStatus.PAYMENT_SENT,
        P2PTradeStatus.DISPUTED,
    }
)
"""States of a trade in which its payment still counts."""


def refund_reason(
    receipt: Receipt,
    charge: Charge,
    *,
    trade: TradeStatus | P2PTradeStatus | None,
    is_paid: bool,
    is_decided: bool = False,
) -> RefundReason | None:
    """Why this receipt must go back, or None: it is credited.

    :param trade: of the charge's trade; None for a charge into the user's balance.
    :param is_paid: whether another receipt of the charge was credited before.
    :param is_decided: whether the trade has its outcome; in review, its state alone does not say so.

    Who paid comes first: a stranger is to get their money back whatever else is true. The payer must be the user:
    payments by third parties are how hijacked accounts are emptied.
    """
    checks = (
        (receipt.payer is Payer.UNKNOWN, RefundReason.PAYER_UNKNOWN),
        (receipt.payer is Payer.OTHER, RefundReason.PAYER_DIFFERS),
        (is_paid, RefundReason.DUPLICATE),
        (receipt.left_centavos != charge.amount_centavos, RefundReason.AMOUNT_DIFFERS),
        (receipt.received_at > charge.accepts_until, RefundReason.AFTER_EXPIRY),
        (is_decided or (trade is not None and trade not in PAYABLE), RefundReason.TRADE_OVER),
    )
    return next((reason for applies, reason in checks if applies), None)
