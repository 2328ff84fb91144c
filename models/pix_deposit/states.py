"""Where a deposit of reais stands. It has no row of its own: a charge of no trade, and its receipts, say it."""

from enum import StrEnum


class PixDepositStatus(StrEnum):
    """``awaiting_payment``: a payment would count. ``blocked``: paid, and under the bank's precautionary block.
    ``refused``: the bank would not make it payable.
    """

    AWAITING_PAYMENT = "awaiting_payment"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    EXPIRED = "expired"
    REFUSED = "refused"
