"""From what a provider says to the bells it rings: one way, for what arrives and for what is replayed."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge import queries as charges
from models.charge import writes as charge_writes
from models.charge.types import Charge
from models.outbox import Message, look
from models.payout import queries as payouts
from models.payout import returns
from models.payout.types import Payout
from models.payout.writes import learn_provider_id
from models.pix_refund import queries as refunds
from models.pix_refund import writes as refund_writes
from models.receipt import queries as receipts
from payments.protocol import ChargeEvent, DisputeEvent, PayoutEvent, PayoutState, RefundEvent, WebhookEvent

log = structlog.get_logger()
_PLAIN = re.compile(r"[!-~]{1,100}")


async def bells(conn: AsyncConnection, provider: str, event: WebhookEvent) -> list[Message]:
    """Whom the event is news to: the workflow that waits for it; one of its own for what comes after its end."""
    return await _BELLS[type(event)](conn, provider, event)


async def _of_payout(conn: AsyncConnection, provider: str, event: PayoutEvent) -> list[Message]:
    payout = await payouts.payout(conn, plain(event.key), lock=event.provider_id is not None)
    if payout is None or payout.provider != provider:
        return []
    await _learn_name(conn, payout, event)
    messages = [look(f"payout/{payout.key}")]
    if event.state is PayoutState.RETURNED:
        messages.append(returns.return_message(payout))
    return messages


async def _learn_name(conn: AsyncConnection, payout: Payout, event: PayoutEvent) -> None:
    """Some providers can be asked by their own id alone, and their webhook may be the only one to tell it."""
    if event.provider_id is None or not _PLAIN.fullmatch(event.provider_id):
        return
    if not await learn_provider_id(conn, payout, event.provider_id):
        log.error("payout.named_twice", payout=payout.key, provider=payout.provider)


async def _of_charge(conn: AsyncConnection, provider: str, event: ChargeEvent) -> list[Message]:
    charge = await charges.charge(conn, plain(event.key))
    return [] if charge is None or charge.provider != provider else [_look_at(charge, event.event_id)]


async def _of_refund(conn: AsyncConnection, provider: str, event: RefundEvent) -> list[Message]:
    """Where the provider does not repeat our key, the PIX that goes back names what it belongs to: a receipt that we
    send back, or a payout of ours that came back.
    """
    refund = None if event.key is None else await refunds.refund(conn, plain(event.key))
    if refund is not None and refund.provider == provider:
        return [look(refund_writes.workflow_id(refund.key))]
    if event.end_to_end_id is None:
        return []
    return await _of_end_to_end_id(conn, provider, plain(event.end_to_end_id), event.event_id)


async def _of_dispute(conn: AsyncConnection, provider: str, event: DisputeEvent) -> list[Message]:
    if event.end_to_end_id is None:
        return []
    return await _of_end_to_end_id(conn, provider, plain(event.end_to_end_id), event.event_id)


async def _of_end_to_end_id(conn: AsyncConnection, provider: str, end_to_end_id: str, event_id: str) -> list[Message]:
    payout = await payouts.by_end_to_end_id(conn, provider, end_to_end_id)
    if payout is not None:
        return [look(f"payout/{payout.key}"), returns.return_message(payout)]
    receipt = await receipts.by_end_to_end_id(conn, provider, end_to_end_id)
    if receipt is None:
        return []
    sent_back = await refunds.of_receipts(conn, [receipt.id])
    charge = await charges.charge(conn, receipt.charge_key)
    messages = [look(refund_writes.workflow_id(refund.key)) for refund in sent_back.values()]
    return messages if charge is None else [*messages, _look_at(charge, event_id)]


def _look_at(charge: Charge, event_id: str) -> Message:
    """Until halfway through its watch a charge's own workflow is there for certain; later, nobody knows."""
    if datetime.now(UTC) < charge.accepts_until + (charge.watched_until - charge.accepts_until) / 2:
        return look(charge_writes.workflow_id(charge.key))
    return charge_writes.start(charge.key, again=hashlib.sha256(event_id.encode()).hexdigest()[:16])


_BELLS: dict[type[WebhookEvent], Callable[[AsyncConnection, str, Any], Awaitable[list[Message]]]] = {
    PayoutEvent: _of_payout,
    ChargeEvent: _of_charge,
    RefundEvent: _of_refund,
    DisputeEvent: _of_dispute,
}


def claim(event: WebhookEvent) -> str:
    """What the event says of its subject, in a word."""
    return event.state if isinstance(event, PayoutEvent) else _CLAIMS[type(event)]


_CLAIMS: dict[type[WebhookEvent], str] = {ChargeEvent: "charge", RefundEvent: "refund", DisputeEvent: "dispute"}


def plain(text: str) -> str:
    """Providers' names as they are, or their hash where they are no names that a column takes."""
    return text if _PLAIN.fullmatch(text) else f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
