"""The market of ``p2p_market.py`` full of people who click at once, again, and while the power fails.

A click is what the doors do with a request: one database transaction that claims its key, does the work and stores the
answer. What the books must say afterwards is told here a second time, from the rows alone.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liquida.checks import against_the_world
from models import idempotency
from models.errors import Refused
from models.p2p_dispute import advance as disputes
from models.p2p_dispute.types import P2PDisputeProgress
from models.p2p_trade.states import P2PTradeStatus
from models.user.types import Role
from tests.models.p2p_disputes import person
from tests.models.p2p_market import Market
from tests.models.p2p_world import COINS
from tests.models.world import ETH, OUTSIDE, address_at

ARBITERS = 4
"""Two for a ruling on much money, and two others after an appeal."""

Work = Callable[[AsyncConnection], Awaitable[object]]

_BY_WHOM = {
    ("cancelled", "buyer_gave_up", "buyer"),
    ("cancelled", "cancelled_by_buyer", "buyer"),
    ("cancelled", "cancelled_by_seller", "seller"),
    ("cancelled", "charge_refused", "system"),
    ("completed", "conceded", "seller"),
    ("completed", "confirmed_by_seller", "seller"),
    ("completed", "paid_from_balance", "buyer"),
    ("completed", "pix_received", "system"),
    ("expired", "not_paid_in_time", "system"),
    ("refunded", "buyer_gave_up", "buyer"),
    ("refunded", "conceded", "buyer"),
    ("refunded", "payment_went_back", "system"),
    ("split", "settled", "buyer"),
    ("split", "settled", "seller"),
}
"""How a trade may end without a ruling, and by whose word: nobody's but that of who gives something up by it."""

_ROWS = ("p2p_orders", "p2p_trades", "p2p_disputes", "p2p_dispute_rulings", "charges", "pix_receipts", "pix_refunds")
_LINES = (
    "ledger_transactions",
    "ledger_postings",
    "p2p_trade_history",
    "p2p_dispute_history",
    "p2p_dispute_statements",
    "p2p_dispute_offers",
    "events",
    "outbox",
    "idempotency_keys",
)
_DIGEST = text(
    " UNION ALL ".join(
        [f"SELECT md5(coalesce(string_agg(t::text, ' ' ORDER BY t::text), '')) FROM {name} AS t" for name in _ROWS]
        + [f"SELECT count(*)::text FROM {name}" for name in _LINES]
    )
)
_TRADES = text("""
SELECT t.id, t.status, t.settlement, t.seller_id, t.buyer_id, t.order_id,
       t.status || coalesce('/' || d.status, '') AS stage, d.id AS dispute_id
    FROM p2p_trades AS t LEFT JOIN p2p_disputes AS d ON d.trade_id = t.id ORDER BY t.reference
""")
_ENDS = text("""
SELECT t.id, t.status, t.reason, t.settlement, t.ended_at IS NOT NULL AS is_ended, t.paid_at, t.version,
       CASE h.actor WHEN t.buyer_id THEN 'buyer' WHEN t.seller_id THEN 'seller' ELSE h.actor END AS by,
       (SELECT count(*) FROM ledger_transactions AS l WHERE l.key = t.id || '/outcome') AS outcomes,
       (SELECT count(*) FROM events AS e WHERE e.kind = 'p2p_trade_status_change'
            AND e.payload->>'trade_id' = t.id AND e.user_id IN (t.buyer_id, t.seller_id)) AS told,
       (SELECT count(*) FROM p2p_trade_history AS l WHERE l.trade_id = t.id) AS lines,
       (SELECT count(*) FROM events AS e WHERE e.kind = 'p2p_dispute_change' AND e.payload->>'trade_id' = t.id
            AND e.user_id IN (t.buyer_id, t.seller_id)) AS dispute_told,
       (SELECT count(*) FROM p2p_dispute_history AS l JOIN p2p_disputes AS d ON d.id = l.dispute_id
            WHERE d.trade_id = t.id) AS dispute_lines
    FROM p2p_trades AS t JOIN p2p_trade_history AS h ON h.trade_id = t.id AND h.version = t.version
""")
_HOUSE = text("""
SELECT a.asset_id || ' ' || a.purpose AS account, sum(p.amount)::text AS units
    FROM ledger_accounts AS a JOIN ledger_postings AS p ON p.account_id = a.id
    WHERE a.owner IS NULL GROUP BY 1 HAVING sum(p.amount) <> 0
""")
_SUMS = text("""
SELECT a.asset_id || ': ' || sum(p.amount)
    FROM ledger_accounts AS a JOIN ledger_postings AS p ON p.account_id = a.id
    GROUP BY a.asset_id HAVING sum(p.amount) <> 0
""")
_EARNED = text("""
SELECT coalesce(sum(div(div(units * bps, 10000) * fee_bps, 10000)), 0)::text FROM (
    SELECT units, fee_bps, CASE status WHEN 'completed' THEN 10000 WHEN 'split' THEN buyer_bps ELSE 0 END AS bps
        FROM p2p_trades) AS t
""")
_BY_WORDS = text("""
SELECT format('%s basis points of trade %s, which a charge pays for, were given away by words', w.buyer_bps, t.id)
    FROM (SELECT dispute_id, buyer_bps FROM p2p_dispute_rulings
          UNION ALL SELECT dispute_id, buyer_bps FROM p2p_dispute_offers) AS w
    JOIN p2p_disputes AS d ON d.id = w.dispute_id JOIN p2p_trades AS t ON t.id = d.trade_id
    WHERE t.settlement = 'charge' AND w.buyer_bps > 0
""")
_TAKEN_BACK = text("""
SELECT coalesce(sum(taken_back_centavos), 0)::text FROM pix_receipts AS r WHERE EXISTS (
    SELECT FROM ledger_transactions AS l WHERE l.key = 'receipt/' || r.id || '/credit')
""")


class PowerCut(Exception):
    """The process died before its commit: nothing of the transaction has happened."""


class FrailEngine(AsyncEngine):
    """``dies_in``: how many transactions still end well before one is lost at its very end; None: all do."""

    dies_in: int | None = None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with super().begin() as conn:
            yield conn
            if self.dies_in == 0:
                self.dies_in = None
                raise PowerCut
            if self.dies_in is not None:
                self.dies_in -= 1


@dataclass(frozen=True)
class Click:
    """``key``: the request's own. A repetition under it has no second effect."""

    user: str
    key: str
    work: Work


@dataclass(frozen=True)
class Done:
    """``value``: what the work gave."""

    value: object = None


@dataclass(frozen=True)
class Replayed:
    """The key's first request was answered before."""


Answer = Done | Replayed | Refused | PowerCut


@dataclass(frozen=True)
class Place:
    """Where a trade is. ``stage``: its status, and its dispute's after a slash."""

    id: str
    status: str
    settlement: str
    seller_id: str
    buyer_id: str
    order_id: str
    stage: str
    dispute_id: str | None


class Fair(Market):
    """Four who trade, the last of whom is an arbiter too, and ``ARBITERS`` who do not."""

    engine: FrailEngine

    async def begin(self) -> "Fair":
        await super().begin()
        carla, arturo = [(await self.join(f"{name}@example.com"))[0] for name in ("carla", "arturo")]
        for user in (carla, arturo):
            await self.fund(user)
        self.traders = [self.seller, self.buyer, carla, arturo]
        self.methods = {user: await self.add_method(user) for user in self.traders}
        self.arbiters = [await person(self, Role.ARBITER) for _ in range(ARBITERS)]
        self.chain.move(OUTSIDE, address_at(0), len(self.traders) * COINS)
        self.house_at_first = await self.of_house()
        return self

    # What people do.

    async def click(self, click: Click) -> Done | Replayed:
        """:raises Refused: and nothing has changed."""
        content = hashlib.sha256(click.key.encode()).digest()
        async with self.engine.begin() as conn:
            known = await idempotency.claim(conn, user_id=click.user, key=click.key, request=content)
            if known is not None:
                return Replayed()
            value = await click.work(conn)
            await idempotency.answer(conn, user_id=click.user, key=click.key, status=200, body={})
        return Done(value)

    async def at_once(
        self, *clicks: Click, meanwhile: Sequence[Callable[[], Awaitable[object]]] = ()
    ) -> list[Answer]:
        """Each in a session of its own. ``meanwhile``: what the program does by itself; the power may cut it short."""
        others = [asyncio.create_task(_done(story())) for story in meanwhile]
        answers = await asyncio.gather(*(self.click(each) for each in clicks), return_exceptions=True)
        for failure in await asyncio.gather(*others, return_exceptions=True):
            if failure is not None and not isinstance(failure, PowerCut):
                raise failure
        known: list[Answer] = []
        for answer in answers:
            if not isinstance(answer, Done | Replayed | Refused | PowerCut):
                raise answer
            known.append(answer)
        return known

    async def look_at_dispute(self, dispute_id: str) -> P2PDisputeProgress:
        async with self.engine.begin() as conn:
            return await disputes.advance(conn, dispute_id, now=self.now)

    # What can be read.

    async def places(self) -> list[Place]:
        """Of all trades, the oldest first."""
        async with self.engine.connect() as conn:
            return [Place(**row._mapping) for row in await conn.execute(_TRADES)]

    async def order_ids(self) -> list[str]:
        """Oldest first."""
        async with self.engine.connect() as conn:
            return list((await conn.execute(text("SELECT id FROM p2p_orders ORDER BY created_at, id"))).scalars())

    async def digest(self) -> list[str]:
        """Another one, if anything at all has changed."""
        async with self.engine.connect() as conn:
            return list((await conn.execute(_DIGEST)).scalars())

    async def of_house(self) -> dict[str, int]:
        """What is in each of the house's accounts that has something."""
        async with self.engine.connect() as conn:
            return {row.account: int(row.units) for row in await conn.execute(_HOUSE)}

    async def differences(self) -> list[str]:
        """Between the books and the world; none while the bank knows nothing that the books do not."""
        opening = {"sandbox": self.desk.bank.opening_centavos}
        async with self.engine.connect() as conn:
            return await against_the_world.violations(
                conn, chains=self.chains, banks={"sandbox": self.desk.bank}, opening_centavos=opening
            )

    async def faults(self, *, paid_out: int) -> list[str]:
        """What is wrong, besides the laws: value from nowhere, two outcomes, an end by a word that was not theirs to say,
        a change that nobody was told of.

        :param paid_out: base units of the commission that operators took to the desk.
        """
        async with self.engine.connect() as conn:
            found = [f"{row} came from nowhere" for row in (await conn.execute(_SUMS)).scalars()]
            found += list((await conn.execute(_BY_WORDS)).scalars())
            for row in await conn.execute(_ENDS):
                is_ruled = (row.reason or "").startswith("ruled_")
                signature = (row.status, row.reason, row.by)
                complaints = {
                    "outcomes": row.outcomes != row.is_ended,
                    "is ended": row.is_ended != (row.status not in {"open", "payment_sent", "disputed"}),
                    "by whom": row.is_ended and not is_ruled and signature not in _BY_WHOM,
                    "its seller took it back": row.reason == "cancelled_by_seller" and row.settlement != "balance",
                    "words released it": row.settlement == "charge" and row.status == "split",
                    "claimed and expired": row.status == P2PTradeStatus.EXPIRED and row.paid_at is not None,
                    "told": row.told != 2 * row.lines,
                    "lines": row.lines != row.version,
                    "told of its dispute": row.dispute_told != 2 * row.dispute_lines,
                }
                found += [f"trade {row.id}: {name} of {row}" for name, is_wrong in complaints.items() if is_wrong]
            earned, lost = [int((await conn.execute(sql)).scalar_one()) for sql in (_EARNED, _TAKEN_BACK)]
            orders = (await conn.execute(text("SELECT count(*) FROM p2p_orders"))).scalar_one()
            told = text("SELECT count(*) FROM events WHERE kind = 'p2p_ad_created'")
            if (await conn.execute(told)).scalar_one() != orders:
                found.append("an order was made that nobody was told of")
        return found + await self._of_house(earned, paid_out, lost)

    async def _of_house(self, earned: int, paid_out: int, lost_centavos: int) -> list[str]:
        """The house has what it had, the commission, and less what banks took back of reais that were given on."""
        there = await self.of_house()
        if paid_out > earned:
            return [f"operators took {paid_out} of the commission, and {earned} were earned"]
        moved = {f"{ETH.id} fees": earned - paid_out, f"{ETH.id} desk": paid_out, "BRL desk": -lost_centavos}
        accounts = {*self.house_at_first, *moved}
        return [
            f"the house's {account}: {there.get(account, 0)}, and it had {self.house_at_first.get(account, 0)}"
            for account in sorted(accounts)
            if there.get(account, 0) != self.house_at_first.get(account, 0) + moved.get(account, 0)
        ]


async def _done(story: Awaitable[object]) -> None:
    await story
