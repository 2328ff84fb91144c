"""Reconciliation with the banks: read a statement where the credentials are, compare it where the books are."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from models.errors import NotFound, PayoutUnknown
from models.reconciliation import bank_lines
from models.reconciliation.bank_lines import Stored
from models.reconciliation.reconcile import reconcile
from models.reconciliation.types import Line, Question, Reading, ReconcileInput, Result, bank_day
from payments.protocol import PixProvider, StatementLine

NAMED_MOST = 20
"""Lines that one log entry names."""


class BankStatementActivities:
    """The only part of reconciliation that holds credentials. :param providers: by name."""

    def __init__(self, engine: AsyncEngine, providers: Mapping[str, PixProvider]) -> None:
        self._engine = engine
        self._providers = providers

    @activity.defn(name="bank_statement.read")
    async def read(self, order: ReconcileInput) -> Reading:
        """Store a day's statement, whole or not at all. The lines stay in the database.

        A bank that does not answer is a value, not an error: whoever asks decides when to ask again.
        :raises NotFound: this worker has no such provider.
        """
        bank = self._providers.get(order.provider)
        if bank is None:
            raise NotFound(f"this worker has no provider {order.provider}", field="provider")
        read_at = datetime.now(UTC)
        is_today = bank_day(read_at) == order.day
        try:
            before = await _balance(bank) if is_today else None
            lines = await bank.statement(order.day)
            after = await _balance(bank) if before is not None else None
        except PayoutUnknown as unknown:
            activity.logger.warning(
                "reconciliation.bank_silent",
                extra={"provider": order.provider, "day": order.day.isoformat(), "error": unknown.type},
            )
            return Reading(None)
        async with self._engine.begin() as conn:
            stored = await bank_lines.store(
                conn, provider=order.provider, day=order.day, lines=[_line(line) for line in lines]
            )
        _tell_of_changes(order, stored)
        return Reading(read_at, stored.lines, before if before == after else None)


class ReconciliationActivities:
    """:param providers: whose statements are compared. :param days_back: how many days before today.
    :param tolerance: how much later than one side the other may have a movement.
    """

    def __init__(
        self, engine: AsyncEngine, providers: Sequence[str], *, days_back: int, tolerance: timedelta
    ) -> None:
        self._engine = engine
        self._providers = providers
        self._days_back = days_back
        self._tolerance = tolerance

    @activity.defn(name="reconciliation.due")
    async def due(self) -> list[ReconcileInput]:
        """What the next round compares: of each provider the days until today, the oldest first."""
        today = bank_day(datetime.now(UTC))
        return [
            ReconcileInput(provider, today - timedelta(days=back))
            for provider in self._providers
            for back in range(self._days_back, -1, -1)
        ]

    @activity.defn(name="reconciliation.compare")
    async def compare(self, question: Question) -> Result:
        """Compare a day that was read, and write what came of it; or that the bank did not answer."""
        async with self._engine.begin() as conn:
            result = await reconcile(conn, question, tolerance=self._tolerance)
        facts = {"provider": result.provider, "day": result.day.isoformat()}
        if not result.bank_answered:
            activity.logger.warning("reconciliation.not_compared", extra=facts | {"reason": "bank did not answer"})
            return result
        counts = {str(cls): max(tally.lines, tally.movements) for cls, tally in result.classes.items()}
        more = {"opened": result.opened, "cleared": result.cleared, "classes": counts}
        activity.logger.info("reconciliation.compared", extra=facts | more)
        return result


async def _balance(bank: PixProvider) -> int | None:
    """A figure to show beside; the comparison does without it."""
    try:
        return await bank.balance()
    except PayoutUnknown:
        return None


def _line(line: StatementLine) -> Line:
    return Line(line.id, line.key, line.end_to_end_id, line.amount_centavos, line.time)


def _tell_of_changes(order: ReconcileInput, stored: Stored) -> None:
    """A bank that takes back what it said is worth a look, whatever it comes to."""
    for event, ids in (("bank_line.changed", stored.changed), ("bank_line.vanished", stored.vanished)):
        if ids:
            facts = {
                "provider": order.provider,
                "day": order.day.isoformat(),
                "count": len(ids),
                "first": ids[:NAMED_MOST],
            }
            activity.logger.warning(event, extra=facts)
