"""Reads of disputes."""

from collections.abc import Iterable
from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.dispute.states import DisputeStatus
from models.dispute.tables import pix_dispute_history, pix_disputes
from models.dispute.types import Cover, Dispute, Entry
from models.errors import NotFound
from models.secret_box import SecretBox

_D, _H = pix_disputes.c, pix_dispute_history.c
_COLUMNS = tuple(column for column in pix_disputes.columns if column.name in Dispute.__dataclass_fields__)
_ENTRIES = tuple(column for column in pix_dispute_history.columns if column.name in Entry.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the disputes that follow; None at the end."""

    disputes: list[Dispute]
    next_cursor: tuple[datetime, str] | None


def place(row_id: str) -> str:
    """Where a sealed defence opens."""
    return f"pix_disputes/{row_id}/defence"


async def dispute(conn: AsyncConnection, row_id: str, *, lock: bool = False) -> Dispute:
    """By our id; with ``lock``, its row is ours until the transaction ends.

    :raises NotFound: there is none.
    """
    statement = select(*_COLUMNS).where(_D.id == row_id)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    if row is None:
        raise NotFound("there is no such dispute", field="dispute_id")
    return Dispute(**row._mapping)


async def by_name(conn: AsyncConnection, provider: str, dispute_id: str, *, lock: bool = False) -> Dispute | None:
    """By the provider's own name for it."""
    statement = select(*_COLUMNS).where(_D.provider == provider, _D.dispute_id == dispute_id)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    return None if row is None else Dispute(**row._mapping)


async def open_claims(conn: AsyncConnection, receipt_id: str) -> list[Dispute]:
    """Those of a receipt that something is set aside for."""
    is_open = (_D.receipt_id == receipt_id, _D.status == DisputeStatus.OPEN, _D.covered_centavos > 0)
    return [Dispute(**row._mapping) for row in await conn.execute(select(*_COLUMNS).where(*is_open).order_by(_D.id))]


async def borne_before(conn: AsyncConnection, receipt_id: str) -> int:
    """Centavos of a take-back that lost disputes of the receipt account for, although the bank's came first."""
    counted = (_D.receipt_id == receipt_id, _D.status == DisputeStatus.LOST, _D.cover == Cover.NOTHING)
    statement = select(func.coalesce(func.sum(_D.from_user_centavos + _D.from_house_centavos), 0)).where(*counted)
    return int((await conn.execute(statement)).scalar_one())


async def defence(conn: AsyncConnection, box: SecretBox, row_id: str) -> str | None:
    """The statement, opened; None if there is none."""
    sealed = (await conn.execute(select(_D.defence_sealed).where(_D.id == row_id))).scalar_one()
    return None if sealed is None else box.open(sealed, place=place(row_id))


async def history(conn: AsyncConnection, row_id: str) -> list[Entry]:
    """Every step of a dispute, oldest first."""
    statement = select(*_ENTRIES).where(_H.dispute == row_id).order_by(_H.version)
    return [Entry(**row._mapping) for row in await conn.execute(statement)]


async def page(
    conn: AsyncConnection,
    *,
    limit: int,
    states: Iterable[DisputeStatus],
    provider: str | None = None,
    defended: bool | None = None,
    cursor: tuple[datetime, str] | None = None,
) -> Page:
    """Disputes in these states, the oldest first. ``defended``: whether an operator has given a defence."""
    statement = select(*_COLUMNS).where(_D.status.in_(list(states))).order_by(_D.created_at, _D.id).limit(limit + 1)
    if provider is not None:
        statement = statement.where(_D.provider == provider)
    if defended is not None:
        statement = statement.where(_D.defence_at.is_not(None) if defended else _D.defence_at.is_(None))
    if cursor is not None:
        statement = statement.where(tuple_(_D.created_at, _D.id) > tuple_(*cursor))
    found = [Dispute(**row._mapping) for row in await conn.execute(statement)]
    last = found[limit - 1] if len(found) > limit else None
    return Page(found[:limit], None if last is None or last.created_at is None else (last.created_at, last.id))


async def open_and_reserved(conn: AsyncConnection) -> tuple[int, int]:
    """How many are open, and how many centavos are set aside for them."""
    reserved = func.sum(_D.from_user_centavos + _D.from_house_centavos).filter(_D.cover == Cover.RESERVE)
    statement = select(func.count(), func.coalesce(reserved, 0)).where(_D.status == DisputeStatus.OPEN)
    count, centavos = (await conn.execute(statement)).one()
    return int(count), int(centavos)


async def open_providers(conn: AsyncConnection) -> set[str]:
    """Those of disputes that are not decided."""
    return set((await conn.execute(select(_D.provider).where(_D.status == DisputeStatus.OPEN).distinct())).scalars())
