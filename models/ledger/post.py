"""The one way to move value."""

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import asyncpg
from sqlalchemy import Engine, PoolProxiedConnection, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import await_only, greenlet_spawn

from models.errors import DatabaseUnavailable, InsufficientFunds, LiquidaError, OperationKeyReused
from models.ledger.types import Transaction

POSTINGS_MAX = 2_000
"""In one call. Each owner in it takes a lock in PostgreSQL's shared table, which is not endless."""

_PARAMETERS = {
    "keys": "text[]",
    "kinds": "text[]",
    "refs": "text[]",
    "reasons": "text[]",
    "numbers": "int[]",
    "owners": "text[]",
    "assets": "text[]",
    "purposes": "text[]",
    "amounts": "numeric[]",
}
_POST = text(
    f"SELECT ledger_post_and_tell({', '.join(f'CAST(:{name} AS {kind})' for name, kind in _PARAMETERS.items())})"
)
_POST_ALONE = f"SELECT ledger_post({', '.join(f'${number + 1}' for number in range(len(_PARAMETERS)))})"
_NEVER_NEGATIVE = {"ledger_accounts_never_negative", "ledger_postings_never_negative"}
_KEY_REUSED = "LQ001"
_TRY_AGAIN = {"40001", "40P01"}
"""Serialisation failure and deadlock: PostgreSQL undid everything, so trying again is safe."""
_ATTEMPTS = 6
_GONE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    OperationalError,
    InterfaceError,
)


async def post(conn: AsyncConnection, *transactions: Transaction) -> list[bool]:
    """Post transactions, in order, in one round trip, inside the caller's database transaction.

    The same key with the same content is the first posting again: nothing moves twice. Who posts for several users
    names them all in the first call: their locks are then taken in one order, and nobody waits crosswise.
    Each user is told of the balances that moved (``balance_update``), in the same transaction and round trip: so no
    flow can forget it, and :func:`post_alone`, which is for loads where each posting counts, does not pay for it.
    :returns: for each transaction, whether this call was the first to post it.
    :raises InsufficientFunds: an account would fall below zero. The caller's database transaction is
        void then: open a savepoint around this call to go on.
    :raises OperationKeyReused: a key was posted before with other content.
    """
    if not transactions:
        return []
    try:
        fresh = (await conn.execute(_POST, dict(zip(_PARAMETERS, _arrays(transactions), strict=True)))).scalar_one()
    except DBAPIError as error:
        cause = getattr(error.orig, "__cause__", None)
        raise (_meaning(cause, transactions) or error) from error
    return list(fresh)


async def post_alone(engine: AsyncEngine, *transactions: Transaction) -> list[bool]:
    """Post transactions, all or none, in a database transaction of their own: one round trip, one commit.

    Waiting for others is not an error: what PostgreSQL undid because of them is posted again.
    :returns: for each transaction, whether this call was the first to post it.
    :raises InsufficientFunds: an account would fall below zero; nothing was posted.
    :raises OperationKeyReused: a key was posted before with other content; nothing was posted.
    :raises DatabaseUnavailable: whether they were posted is not known; call again with the same keys.
    """
    if not transactions:
        return []
    arrays = _arrays(transactions)
    for attempt in range(_ATTEMPTS):
        try:
            return await _call(engine, arrays)
        except asyncpg.PostgresError as error:
            if error.sqlstate in _TRY_AGAIN and attempt + 1 < _ATTEMPTS:
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 spreads callers, keeps no secret
                continue
            raise (_meaning(error, transactions) or error) from error
    raise AssertionError("the last attempt answers or raises")


async def _call(engine: AsyncEngine, arrays: Sequence[object]) -> list[bool]:
    """Beside SQLAlchemy, which would begin and commit in round trips of its own, and would see a lost connection."""
    try:
        return await greenlet_spawn(_fetch, engine.sync_engine, arrays)
    except _GONE as error:
        raise DatabaseUnavailable("the database went away while posting; whether it did is not known") from error


def _fetch(engine: Engine, arrays: Sequence[object]) -> list[bool]:
    """In one greenlet for all steps with the pool: one for each cost a third of a client's time."""
    pooled = engine.raw_connection()
    try:
        while _driver(pooled).is_closed():
            pooled.invalidate()
            pooled = engine.raw_connection()
        driver = _driver(pooled)
        try:
            fresh: list[bool] = await_only(driver.fetchval(_POST_ALONE, *arrays))
        except BaseException as error:
            if driver.is_closed() or not isinstance(error, asyncpg.PostgresError):
                pooled.invalidate()
            raise
        return fresh
    finally:
        pooled.close()


def _driver(pooled: PoolProxiedConnection) -> Any:
    return pooled.driver_connection


def _arrays(transactions: Sequence[Transaction]) -> tuple[list[Any], ...]:
    """The parameters of ``ledger_post``: four arrays by transaction, five by posting."""
    columns: tuple[list[Any], ...] = tuple([] for _ in _PARAMETERS)
    keys, kinds, refs, reasons, numbers, owners, assets, purposes, amounts = columns
    for number, transaction in enumerate(transactions, start=1):
        keys.append(transaction.key)
        kinds.append(transaction.kind)
        refs.append(transaction.reference)
        reasons.append(transaction.reason)
        for posting in sorted(
            transaction.postings, key=lambda p: (p.account.asset, p.account.purpose, p.account.owner or "")
        ):
            numbers.append(number)
            owners.append(posting.account.owner)
            assets.append(posting.account.asset)
            purposes.append(posting.account.purpose)
            amounts.append(Decimal(posting.units))
    if len(numbers) > POSTINGS_MAX:
        raise ValueError(f"{len(numbers)} postings in one call; at most {POSTINGS_MAX}")
    return columns


def _meaning(error: object, transactions: Sequence[Transaction]) -> LiquidaError | None:
    """The database's refusal in our words, where it is one of ours."""
    if getattr(error, "constraint_name", None) in _NEVER_NEGATIVE:
        return InsufficientFunds("the balance is smaller than the amount")
    if getattr(error, "sqlstate", None) == _KEY_REUSED:
        keys = ", ".join(transaction.key for transaction in transactions)
        return OperationKeyReused(f"one of {keys} was posted before with other content")
    return None
