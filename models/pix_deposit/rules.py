"""Where a deposit stands, read off its charge and its receipts. Pure: no clock, no database."""

from collections.abc import Iterable

from models.charge.states import ChargeStatus
from models.charge.types import Charge
from models.pix_deposit.states import PixDepositStatus
from models.receipt.states import ReceiptStatus

S, R = PixDepositStatus, ReceiptStatus


def status_of(charge: Charge, receipts: Iterable[ReceiptStatus]) -> PixDepositStatus:
    """It has expired once the bank was asked after the last moment at which a payment counts, and not before: until
    then nobody knows whether it was paid in time.
    """
    found = set(receipts)
    if charge.status is ChargeStatus.REFUSED:
        return S.REFUSED
    if R.CREDITED in found:
        return S.COMPLETED
    if found & {R.BLOCKED, R.RECEIVED}:
        return S.BLOCKED
    is_over = charge.asked_at is not None and charge.asked_at >= charge.accepts_until
    return S.EXPIRED if is_over else S.AWAITING_PAYMENT
