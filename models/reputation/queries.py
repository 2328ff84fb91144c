"""Reputations, from the rows of trades and reviews. What counts for whom is said by the view ``p2p_results``."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    ScalarSelect,
    String,
    cast,
    column,
    func,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_review.tables import p2p_reviews
from models.quote.rules import BPS
from models.reputation.types import Reputation

_RESULTS = table(
    "p2p_results",
    column("user_id", String),
    column("total_centavos", BigInteger),
    column("ended_at", DateTime(timezone=True)),
    column("is_completed", Boolean),
    column("is_lost", Boolean),
    column("is_unpaid", Boolean),
    column("is_taken_purchase", Boolean),
    column("release_seconds", Integer),
)
"""One row for each side of each trade that has ended; made by migration 0012."""
_V = _RESULTS.c
_R = p2p_reviews.c

_TRADES = func.count().filter(_V.is_completed)
_KEPT = func.count().filter(_V.is_completed & ~_V.is_lost)
_COUNTED = func.count().filter(_V.is_completed | _V.is_lost | _V.is_unpaid)
_COMPLETION = cast(func.div(_KEPT * BPS, func.nullif(_COUNTED, 0)), Integer)
_TRADES_MOST = 10**9


async def of_users(conn: AsyncConnection, user_ids: Iterable[str]) -> Mapping[str, Reputation]:
    """One for each of them, also for those who never traded."""
    wanted = sorted(set(user_ids))
    done = (
        select(
            _V.user_id,
            _TRADES.label("trades"),
            cast(func.coalesce(func.sum(_V.total_centavos).filter(_V.is_completed), 0), BigInteger).label(
                "volume_centavos"
            ),
            _COMPLETION.label("completion_bps"),
            func.percentile_disc(0.5).within_group(_V.release_seconds).label("release_seconds"),
            func.count().filter(_V.is_lost).label("disputes_lost"),
        )
        .where(_V.user_id.in_(wanted))
        .group_by(_V.user_id)
    )
    said = (
        select(
            _R.subject_id.label("user_id"),
            func.round(func.avg(_R.stars), 2).label("rating"),
            func.count().label("reviews"),
        )
        .where(_R.subject_id.in_(wanted))
        .group_by(_R.subject_id)
    )
    found: dict[str, dict[str, Any]] = {user_id: {"user_id": user_id} for user_id in wanted}
    for statement in (done, said):
        for row in await conn.execute(statement):
            found[row.user_id] |= row._mapping
    return {user_id: Reputation(**values) for user_id, values in found.items()}


def score(user_id: ColumnElement[Any]) -> ScalarSelect[Any]:
    """One number to sort users by: the completion rate, then the trades; those who never traded come last."""
    trades = func.least(_TRADES, _TRADES_MOST - 1)
    value = func.coalesce(cast(_COMPLETION, BigInteger), -1) * _TRADES_MOST + trades
    return select(value).where(_V.user_id == user_id).scalar_subquery()


async def unpaid_ends(conn: AsyncConnection, user_id: str, *, since: datetime) -> list[datetime]:
    """When trades that the user took as the buyer ended unpaid, oldest first."""
    statement = (
        select(_V.ended_at)
        .where(_V.user_id == user_id, _V.is_taken_purchase, _V.is_unpaid, _V.ended_at >= since)
        .order_by(_V.ended_at)
    )
    return list((await conn.execute(statement)).scalars())
