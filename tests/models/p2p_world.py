"""A small marketplace for the books: a seller with coins, a buyer with reais, orders, trades, and a clock."""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert

from models.event.tables import events
from models.ids import new_id
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.p2p_order import queries as orders
from models.p2p_order.tables import p2p_orders
from models.p2p_order.types import P2POrder, P2PRules, Settlement
from models.p2p_trade import advance, queries, writes
from models.p2p_trade.party import Party
from models.p2p_trade.types import Command, Outcome, P2PTrade, P2PTradeProgress
from models.payment_method import writes as methods
from models.payment_method.types import MethodDraft, MethodKind
from models.quote.types import Side
from tests.models.world import BOX, COIN, ETH, TERMS, WAITS, World

WINDOW, CONFIRM = 1800, 3600
RULES = P2PRules(confirm_seconds=CONFIRM, unpaid_most=100, unpaid_day_most=10**6)
COINS, REAIS = 10 * COIN, 1_000_000_00
"""What everybody begins with."""
PRICE = Decimal("15000.00")
TAKE, PAID = COIN // 10, 1_500_00
"""A trade's coins, and what they cost."""
BUYER_PAYS, SELLER_PAYS = RULES, replace(RULES, commission_payer=Party.SELLER)


@dataclass(frozen=True)
class Purse:
    """What one user has: coins free and held, reais free and held, as differences to the beginning."""

    coins: int = 0
    coins_held: int = 0
    reais: int = 0
    reais_held: int = 0


@dataclass
class P2PWorld(World):
    seller: str = ""
    buyer: str = ""
    method: str = ""

    async def begin(self) -> "P2PWorld":
        self.seller, self.buyer = [(await self.join(f"{name}@example.com"))[0] for name in ("sara", "bruno")]
        for user in (self.seller, self.buyer):
            await self.fund(user)
        self.method = await self.add_method(self.seller)
        return self

    async def fund(self, user: str) -> None:
        async with self.engine.begin() as conn:
            for asset, source, units in (
                (ETH.id, custody("ethereum", ETH.id), COINS),
                ("BRL", house(Purpose.DESK, "BRL"), REAIS),
            ):
                key = f"operator/x/{new_id()}"
                await post(conn, move(key, Kind.ADJUSTMENT, "operator/x", source, available(user, asset), units))

    async def add_method(self, user: str, kind: str = "pix") -> str:
        draft = MethodDraft(MethodKind(kind), "mine", {"pix_key": "sara@example.com", "holder_name": "Sara"})
        async with self.engine.begin() as conn:
            return (await methods.add(conn, BOX, user_id=user, draft=draft)).id

    async def offer(self, *, maker: str = "", side: Side = Side.SELL, **other: Any) -> str:
        """An order; by the seller, of one coin, if nothing else is said."""
        order_id = new_id()
        maker = maker or (self.seller if side is Side.SELL else self.buyer)
        row: dict[str, Any] = {
            "id": order_id,
            "user_id": maker,
            "side": side,
            "asset_id": ETH.id,
            "total_units": COIN,
            "available_units": other.get("total_units", COIN),
            "price_kind": "fixed",
            "price": PRICE,
            "min_centavos": 100,
            "max_centavos": 100_000_00,
            "settlements": ["balance", "charge", "direct"],
            "method_ids": [self.method] if side is Side.SELL else [],
            "method_kinds": ["pix"],
            "window_seconds": WINDOW,
        }
        async with self.engine.begin() as conn:
            await conn.execute(insert(p2p_orders).values(row | other))
        return order_id

    async def order(self, order_id: str) -> P2POrder:
        async with self.engine.connect() as conn:
            return await orders.order(conn, order_id)

    async def take(
        self,
        order_id: str,
        *,
        by: str = "",
        settlement: Settlement = Settlement.DIRECT,
        units: int | None = TAKE,
        rules: P2PRules = RULES,
        market: Decimal | None = None,
        **wanted: Any,
    ) -> str:
        """Open a trade; its id."""
        trade_id = new_id()
        async with self.engine.begin() as conn:
            order = await orders.order(conn, order_id, lock=True)
            taker = by or (self.buyer if order.side is Side.SELL else self.seller)
            await writes.accept(
                conn,
                trade_id=trade_id,
                order=order,
                asset=ETH,
                wanted=writes.Take(taker, settlement, units=units, **wanted),
                market=market,
                rules=rules,
                terms=TERMS,
                waits=WAITS,
                now=self.now,
            )
        return trade_id

    async def open(self, settlement: Settlement = Settlement.DIRECT, **more: Any) -> str:
        """A trade of an order of its own."""
        return await self.take(await self.offer(), settlement=settlement, **more)

    async def say(self, trade_id: str, command: Command, *, by: str) -> P2PTrade:
        async with self.engine.begin() as conn:
            return (await writes.command(conn, trade_id, command, user_id=by, now=self.now)).trade

    async def pay(self, trade_id: str) -> P2PTrade:
        return await self.say(trade_id, Command.PAYMENT_SENT, by=self.buyer)

    async def undo(self, trade_id: str) -> P2PTrade:
        return await self.say(trade_id, Command.UNDO_PAYMENT_SENT, by=self.buyer)

    async def confirm(self, trade_id: str) -> P2PTrade:
        return await self.say(trade_id, Command.CONFIRM_PAYMENT, by=self.seller)

    async def give_up(self, trade_id: str) -> P2PTrade:
        return await self.say(trade_id, Command.CANCEL, by=self.buyer)

    async def dispute(self, trade_id: str) -> P2PTrade:
        return await self.say(trade_id, Command.DISPUTE, by=self.seller)

    async def decide(self, trade_id: str, outcome: Outcome, buyer_bps: int | None = None) -> P2PTrade:
        async with self.engine.begin() as conn:
            done = await writes.rule(
                conn, trade_id, outcome, reason="ruling", actor="arbiter", now=self.now, buyer_bps=buyer_bps
            )
        return done.trade

    async def look(self, trade_id: str) -> P2PTradeProgress:
        async with self.engine.begin() as conn:
            return await advance.advance(conn, trade_id, now=self.now)

    async def wait(self, trade_id: str, seconds: float) -> P2PTradeProgress:
        self.now += timedelta(seconds=seconds)
        return await self.look(trade_id)

    async def read(self, trade_id: str) -> P2PTrade:
        async with self.engine.connect() as conn:
            return await queries.trade(conn, trade_id)

    async def purse(self, user: str) -> Purse:
        return Purse(
            await self.balance(available(user, ETH.id)) - COINS,
            await self.balance(held(user, ETH.id)),
            await self.balance(available(user, "BRL")) - REAIS,
            await self.balance(held(user, "BRL")),
        )

    async def purses(self) -> tuple[Purse, Purse]:
        """The seller's and the buyer's."""
        return await self.purse(self.seller), await self.purse(self.buyer)

    async def fees(self) -> int:
        return await self.house(Purpose.FEES)

    async def left(self, trade_id: str) -> int:
        """What the trade's order has available, less its total."""
        order = await self.order((await self.read(trade_id)).order_id)
        return order.available_units - order.total_units

    async def log(self, trade_id: str) -> list[tuple[str, str | None, str]]:
        """State, reason and who, of each line; the people by what they are."""
        names = {self.seller: "seller", self.buyer: "buyer"}
        async with self.engine.connect() as conn:
            lines = await queries.history(conn, trade_id)
        return [(line.new_status, line.reason, names.get(line.actor, line.actor)) for line in lines]

    async def changes(self, user: str) -> list[object]:
        """The states of trades that one was told of, oldest first."""
        e = events.c
        own = events.select().where(e.user_id == user, e.kind == "p2p_trade_status_change").order_by(e.id)
        async with self.engine.connect() as conn:
            return [row.payload["status"] for row in await conn.execute(own)]

    async def notices(self, user: str) -> list[str]:
        """The codes of what one was told in sentences, oldest first."""
        e = events.c
        own = events.select().where(e.user_id == user, e.kind == "new_notification").order_by(e.id)
        async with self.engine.connect() as conn:
            return [row.payload["code"] for row in await conn.execute(own)]
