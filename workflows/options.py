"""The few ways in which we call an activity. Nothing that moves money gives up after an attempt.

A worker that dies is noticed by its missing heartbeat (every activity beats, see ``liquida/interceptors.py``),
so ``start_to_close`` only bounds one that hangs. It is longer than any time limit inside the activity, so the
code answers before the server does.
"""

from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy

SETTLEMENT = "settlement"
CUSTODY = "custody"
CHAIN = "chain"
PAYMENTS = "payments"

HEARTBEAT = timedelta(seconds=5)


def _call(queue: str, *, limit: timedelta, first: timedelta, most: timedelta) -> dict[str, Any]:
    return {
        "task_queue": queue,
        "start_to_close_timeout": limit,
        "heartbeat_timeout": HEARTBEAT,
        "retry_policy": RetryPolicy(initial_interval=first, backoff_coefficient=2, maximum_interval=most),
    }


DATABASE = _call(
    SETTLEMENT, limit=timedelta(seconds=15), first=timedelta(milliseconds=100), most=timedelta(seconds=10)
)
"""Our own books: one transaction, harmless to repeat."""

SEAL = _call(SETTLEMENT, limit=timedelta(minutes=10), first=timedelta(seconds=1), most=timedelta(seconds=30))
"""As long as the first seals of a ledger take that was never sealed."""

VERIFY = _call(SETTLEMENT, limit=timedelta(hours=6), first=timedelta(seconds=10), most=timedelta(minutes=5))
"""Every row there ever was; begins again if its worker dies."""

STATEMENT = _call(PAYMENTS, limit=timedelta(minutes=15), first=timedelta(seconds=1), most=timedelta(minutes=1))
"""A bank's whole day, in pages."""

COMPARE = _call(SETTLEMENT, limit=timedelta(minutes=15), first=timedelta(seconds=1), most=timedelta(minutes=1))
"""All lines and movements of a day, in one transaction."""

SIGN = _call(CUSTODY, limit=timedelta(seconds=20), first=timedelta(milliseconds=200), most=timedelta(seconds=10))
"""Custody: the bytes are in the row after the first success."""

READ = _call(CHAIN, limit=timedelta(seconds=60), first=timedelta(milliseconds=500), most=timedelta(seconds=30))
"""Ask a node. Reads retry freely."""

SEND = _call(CHAIN, limit=timedelta(seconds=60), first=timedelta(milliseconds=500), most=timedelta(seconds=30))
"""Hand signed bytes to a node: the same bytes each time."""

PAY = _call(PAYMENTS, limit=timedelta(seconds=60), first=timedelta(milliseconds=500), most=timedelta(seconds=30))
"""Send or ask a provider, by the payout's one key."""

DELIVER = _call(PAYMENTS, limit=timedelta(seconds=45), first=timedelta(seconds=1), most=timedelta(minutes=1))
"""Hand a message to a user's endpoint, from where there is a way out. Its refusal is an outcome, not a fault."""

WATCH = _call(CHAIN, limit=timedelta(minutes=15), first=timedelta(milliseconds=500), most=timedelta(seconds=30))
"""One long turn of looking at a network."""
