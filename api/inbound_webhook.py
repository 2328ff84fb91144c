"""From what a provider says to the bells it rings: one way, for what arrives and for what is replayed."""

import hashlib
import re

from sqlalchemy.ext.asyncio import AsyncConnection

from models.instant_trade.writes import return_message
from models.outbox import Message, look
from models.payout import queries as payouts
from payments.protocol import ChargeEvent, PayoutEvent, PayoutState, WebhookEvent

_PLAIN = re.compile(r"[!-~]{1,100}")


async def bells(conn: AsyncConnection, provider: str, event: WebhookEvent) -> list[Message]:
    """Whom the event is news to: the payout's workflow; one of its own for a payout that came back after its end.

    Nobody waits for charges or refunds yet: they are kept.
    """
    if not isinstance(event, PayoutEvent):
        return []
    payout = await payouts.payout(conn, plain(event.key))
    if payout is None or payout.provider != provider:
        return []
    messages = [look(f"payout/{payout.key}")]
    if event.state is PayoutState.RETURNED:
        messages.append(return_message(payout.trade_id))
    return messages


def claim(event: WebhookEvent) -> str:
    """What the event says of its subject, in a word."""
    if isinstance(event, PayoutEvent):
        return event.state
    return "charge" if isinstance(event, ChargeEvent) else "refund"


def plain(text: str) -> str:
    """Providers' names as they are, or their hash where they are no names that a column takes."""
    return text if _PLAIN.fullmatch(text) else f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
