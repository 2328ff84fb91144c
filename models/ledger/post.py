"""The one way to move value."""

import hashlib
from collections.abc import Sequence

import orjson
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import InsufficientFunds, OperationKeyReused
from models.ledger.types import Transaction

_POST = text("SELECT key, fresh FROM ledger_post(CAST(:batch AS jsonb))")
_NEVER_NEGATIVE = "ledger_accounts_never_negative"
_KEY_REUSED = "LQ001"


async def post(conn: AsyncConnection, *transactions: Transaction) -> list[bool]:
    """Post transactions, in order, in one round trip, inside the caller's database transaction.

    The same key with the same content is the first posting again: nothing moves twice.
    :returns: for each transaction, whether this call was the first to post it.
    :raises InsufficientFunds: an account would fall below zero. The caller's database transaction is
        void then: open a savepoint around this call to go on.
    :raises OperationKeyReused: a key was posted before with other content.
    """
    batch = orjson.dumps([_row(transaction) for transaction in transactions]).decode()
    try:
        rows = (await conn.execute(_POST, {"batch": batch})).all()
    except IntegrityError as error:
        if _NEVER_NEGATIVE in str(error.orig):
            raise InsufficientFunds("the balance is smaller than the amount") from error
        raise
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _KEY_REUSED:
            keys = ", ".join(transaction.key for transaction in transactions)
            raise OperationKeyReused(f"one of {keys} was posted before with other content") from error
        raise
    return [bool(row.fresh) for row in rows]


def _row(transaction: Transaction) -> dict[str, object]:
    postings = [
        {
            "owner": posting.account.owner,
            "asset": posting.account.asset,
            "purpose": posting.account.purpose,
            "constrained": posting.account.is_constrained,
            "amount": str(posting.units),
        }
        for posting in sorted(
            transaction.postings, key=lambda p: (p.account.asset, p.account.purpose, p.account.owner or "")
        )
    ]
    return {
        "key": transaction.key,
        "kind": transaction.kind,
        "reference": transaction.reference,
        "hash": _content_hash(transaction.kind, transaction.reference, postings),
        "postings": postings,
    }


def _content_hash(kind: str, reference: str, postings: Sequence[object]) -> str:
    return hashlib.sha256(orjson.dumps([kind, reference, postings])).hexdigest()
