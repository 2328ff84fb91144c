"""Charges: the order first, then what the provider makes of it."""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.charge.states import ChargeStatus
from models.charge.tables import charges
from models.charge.types import Charge
from models.errors import Broken
from models.instant_trade.types import Waits
from models.outbox import Message, MessageKind, look, put

WORKFLOW = "charge"
_WAITS = TypeAdapter(Waits)
REASON_MOST = 100


def workflow_id(key: str) -> str:
    return f"{WORKFLOW}/{key}"


def start(charge_key: str, *, waits: Waits | None = None, again: str = "") -> Message:
    """Have a charge made and looked after; ``again`` names the occasion of a later look, once its own watch is over.

    Where ``waits`` are left out, the relay adds this installation's.
    """
    known = {} if waits is None else {"waits": _WAITS.dump_python(waits, mode="json")}
    return Message(
        MessageKind.START,
        f"{workflow_id(charge_key)}/{again}" if again else workflow_id(charge_key),
        workflow=WORKFLOW,
        input={"key": charge_key, **known},
        summary="a payment that came after its time" if again else "a PIX charge and what is paid on it",
        attributes={"Kind": WORKFLOW},
    )


def bell(charge: Charge, occasion: str, now: datetime) -> Message:
    """Have a charge looked at.

    Until halfway through its watch its own workflow is there for certain; later, nobody knows.

    :param occasion: what makes it worth a look, the same each time it is told.
    """
    if now < charge.accepts_until + (charge.watched_until - charge.accepts_until) / 2:
        return look(workflow_id(charge.key))
    return start(charge.key, again=hashlib.sha256(occasion.encode()).hexdigest()[:16])


async def order(
    conn: AsyncConnection,
    *,
    key: str,
    user_id: str,
    trade_id: str | None,
    provider: str,
    amount_centavos: int,
    now: datetime,
    window_seconds: float,
    leniency_seconds: float,
    waits: Waits,
    p2p_trade_id: str | None = None,
) -> list[int]:
    """Write the order under the key that the provider will know it by, and start its workflow; outbox rows."""
    expires_at = now + timedelta(seconds=window_seconds)
    accepts_until = expires_at + timedelta(seconds=leniency_seconds)
    await conn.execute(
        insert(charges).values(
            key=key,
            user_id=user_id,
            trade_id=trade_id,
            p2p_trade_id=p2p_trade_id,
            provider=provider,
            amount_centavos=amount_centavos,
            expires_at=expires_at,
            accepts_until=accepts_until,
            watched_until=accepts_until + timedelta(seconds=waits.charge_watch_seconds),
        )
    )
    return await put(conn, start(key, waits=waits))


async def mark_submitted(conn: AsyncConnection, charge: Charge, *, window_seconds: int) -> Charge:
    """Say, before the call, that the provider may be about to hear of it, and for how long it may be paid."""
    return await _step(conn, charge, ChargeStatus.SUBMITTED, window_seconds=window_seconds)


async def activate(conn: AsyncConnection, charge: Charge, *, provider_id: str | None, br_code: str) -> Charge:
    """It can be paid now."""
    return await _step(conn, charge, ChargeStatus.ACTIVE, provider_id=provider_id, br_code=br_code)


async def refuse(conn: AsyncConnection, charge: Charge, reason: str) -> Charge:
    """It will never be payable."""
    return await _step(conn, charge, ChargeStatus.REFUSED, reason=reason[:REASON_MOST])


async def mark_asked(conn: AsyncConnection, charge: Charge, at: datetime) -> Charge:
    """The provider answered a question that was put at ``at``: what was paid before then is known."""
    await conn.execute(update(charges).where(charges.c.key == charge.key).values(asked_at=at))
    return replace(charge, asked_at=at)


async def _step(conn: AsyncConnection, charge: Charge, after: ChargeStatus, **columns: Any) -> Charge:
    transitions.check("charge", charge.status, after)
    statement = (
        update(charges)
        .where(charges.c.key == charge.key, charges.c.status == charge.status, charges.c.version == charge.version)
        .values(status=after, version=charge.version + 1, updated_at=func.now(), **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"charge {charge.key} changed while its row was locked")
    return replace(charge, status=after, version=charge.version + 1, **columns)
