"""From what a provider says to the bells it rings: one way, for what arrives and for what is replayed."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge import queries as charges
from models.charge.writes import bell
from models.dispute import queries as disputes
from models.dispute.states import DisputeStatus
from models.dispute.writes import bells as dispute_bells
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
    return [] if charge is None or charge.provider != provider else [bell(charge, event.event_id, datetime.now(UTC))]


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
    """Its own workflow, whether or not we know the receipt; for one that is decided, one more look at it."""
    if not _PLAIN.fullmatch(event.key):
        log.error("dispute.unreadable_name", provider=provider)
        return []
    known = await disputes.by_name(conn, provider, event.key)
    is_decided = known is not None and known.status is not DisputeStatus.OPEN
    again = hashlib.sha256(event.event_id.encode()).hexdigest()[:16] if is_decided else ""
    messages = dispute_bells(provider, event.key, again=again)
    if event.end_to_end_id is None:
        return messages
    return [*messages, *await _of_end_to_end_id(conn, provider, plain(event.end_to_end_id), event.event_id)]


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
    return messages if charge is None else [*messages, bell(charge, event_id, datetime.now(UTC))]


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
