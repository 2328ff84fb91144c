"""Prometheus metrics of the API and, read at each scrape, of the books.

=====================================  ========================================================
``liquida_requests_total``             by ``method``, ``route`` (its template) and ``status``
``liquida_request_seconds``            histogram to the response's first byte, by ``route``
``liquida_trades_open``                instant trades that have not ended, by ``status``
``liquida_review_oldest_seconds``      how long the longest waiting trade in needs_review has waited
``liquida_withdrawals_open``           withdrawals of reais that have not ended, by ``status``
``liquida_p2p_trades_open``            P2P trades that have not ended, by ``status``
``liquida_outbox_waiting``             messages to Temporal not delivered yet
``liquida_outbox_oldest_seconds``      age of the oldest of them
``liquida_breaks_open``                breaks with a bank that are not resolved, by ``class`` and ``age``
``liquida_reconciliation_age_seconds`` how long ago a bank's statement was last compared, by ``provider``
``liquida_disputes_open``              disputes (MED) that are not decided
``liquida_disputes_reserved_centavos``  what is set aside for them
``liquida_database_up``                1 if the books could be read; 0: these figures are of an earlier scrape
=====================================  ========================================================
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from models import outbox
from models.dispute import queries as disputes
from models.instant_trade import queries as trades
from models.instant_trade.states import ENDED, TradeStatus
from models.p2p_trade import queries as p2p_trades
from models.p2p_trade.states import ENDED as P2P_ENDED
from models.p2p_trade.states import P2PTradeStatus
from models.pix_withdrawal import queries as withdrawals
from models.pix_withdrawal.rules import WAITING
from models.reconciliation import queries as reconciliation

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter("liquida_requests", "HTTP requests", ["method", "route", "status"], registry=own)
        self._seconds = Histogram("liquida_request_seconds", "Time to first byte", ["route"], registry=own)
        self._open = Gauge("liquida_trades_open", "Trades that have not ended", ["status"], registry=own)
        self._review = Gauge("liquida_review_oldest_seconds", "Longest wait for an operator", registry=own)
        self._withdrawals = Gauge("liquida_withdrawals_open", "Not ended", ["status"], registry=own)
        self._p2p = Gauge("liquida_p2p_trades_open", "P2P trades that have not ended", ["status"], registry=own)
        self._waiting = Gauge("liquida_outbox_waiting", "Messages not delivered", registry=own)
        self._oldest = Gauge("liquida_outbox_oldest_seconds", "Age of the oldest of them", registry=own)
        self._breaks = Gauge("liquida_breaks_open", "Breaks not resolved", ["class", "age"], registry=own)
        self._compared = Gauge(
            "liquida_reconciliation_age_seconds", "Since a statement was compared", ["provider"], registry=own
        )
        self._disputes = Gauge("liquida_disputes_open", "Disputes not decided", registry=own)
        self._reserved = Gauge("liquida_disputes_reserved_centavos", "Set aside for them", registry=own)
        self._database = Gauge("liquida_database_up", "Whether the books could be read", registry=own)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    async def scrape(self, engine: AsyncEngine) -> bytes:
        """The exposition in Prometheus' text format. A database that is down hides nothing else."""
        try:
            await self._read_books(engine)
        except (SQLAlchemyError, OSError):
            self._database.set(0)
        return generate_latest(self._registry)

    async def _read_books(self, engine: AsyncEngine) -> None:
        async with engine.connect() as conn:
            by_status = await trades.open_by_status(conn)
            review = await trades.longest_in_review_seconds(conn)
            leaving = await withdrawals.open_by_status(conn)
            p2p = await p2p_trades.open_by_status(conn)
            waiting, oldest = await outbox.waiting(conn)
            breaks = await reconciliation.live_by_class_and_age(conn)
            silence = await reconciliation.silence_seconds(conn)
            disputes_open, reserved = await disputes.open_and_reserved(conn)
        for status in TradeStatus:
            if status not in ENDED:
                self._open.labels(status).set(by_status.get(status, 0))
        self._review.set(review)
        for withdrawal_status in WAITING:
            self._withdrawals.labels(withdrawal_status).set(leaving.get(withdrawal_status, 0))
        for p2p_status in P2PTradeStatus:
            if p2p_status not in P2P_ENDED:
                self._p2p.labels(p2p_status).set(p2p.get(p2p_status, 0))
        self._waiting.set(waiting)
        self._oldest.set(oldest)
        self._disputes.set(disputes_open)
        self._reserved.set(reserved)
        for (cls, age), count in breaks.items():
            self._breaks.labels(cls, age).set(count)
        for provider, seconds in silence.items():
            self._compared.labels(provider).set(seconds)
        self._database.set(1)
