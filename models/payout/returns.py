"""Who is to hear that a paid PIX came back: a trade or a withdrawal, whichever the payout belongs to."""

from models.errors import Broken
from models.instant_trade import writes as trades
from models.outbox import Message
from models.payout.types import Payout
from models.pix_withdrawal import messages as withdrawals


def return_message(payout: Payout) -> Message:
    """Start the look after it; once for each payout, however many webhooks say so."""
    if payout.withdrawal_id is not None:
        return withdrawals.return_message(payout.withdrawal_id)
    if payout.trade_id is None:
        raise Broken(f"payout {payout.key} belongs to nothing")
    return trades.return_message(payout.trade_id)
