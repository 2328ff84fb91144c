"""A dispute to play with: two who trade, arbiters who do not, and every command as one call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from models.ids import new_id
from models.ledger.chart import Purpose, available, held
from models.p2p_dispute import queries, ruling, writes
from models.p2p_dispute.advance import advance
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.types import (
    DisputeReason,
    DisputeRules,
    P2PDispute,
    P2PDisputeProgress,
    RulingOrder,
    RulingReason,
)
from models.p2p_order.types import Settlement
from models.p2p_trade import queries as trades
from models.p2p_trade.types import P2PTrade, Party
from models.user.types import Role
from models.user.writes import add_user
from tests.models.p2p_books import ETH, open_trade, pay
from tests.models.world import BOX, World

ALONE = DisputeRules(alone_most_centavos=10**12, appeal_seconds=3600, proposal_seconds=600)
TOGETHER = DisputeRules(alone_most_centavos=0, appeal_seconds=3600, proposal_seconds=600)
S = P2PDisputeStatus


@dataclass
class Fight:
    """``now``: its clock, which moves only when a test says so."""

    world: World
    trade: P2PTrade
    arbiters: list[str]
    now: datetime
    id: str = ""
    fees_before: int = 0

    @property
    def buyer(self) -> str:
        return self.trade.buyer_id

    @property
    def seller(self) -> str:
        return self.trade.seller_id

    async def run(self, command: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        """In a transaction of its own."""
        async with self.world.engine.begin() as conn:
            return await command(conn, *args, **more)

    async def open(self, user: str | None = None, reason: DisputeReason = DisputeReason.PAID_NOT_RELEASED) -> None:
        await self.run(
            writes.open_dispute,
            BOX,
            self.trade.id,
            user_id=user or self.buyer,
            reason=reason,
            statement="I paid",
            file_ids=[],
            now=self.now,
        )
        self.id = (await self.row()).id

    async def rule(self, arbiter: int = 0, bps: int = 10_000, rules: DisputeRules = ALONE) -> None:
        order = RulingOrder(bps, RulingReason.PAYMENT_PROVEN, "the receipt is good")
        who = self.arbiters[arbiter]
        await self.run(ruling.rule, BOX, self.id, order, arbiter_id=who, rules=rules, now=self.now)

    async def approve(self, arbiter: int = 1, ruling_id: str | None = None) -> None:
        one = ruling_id or await self.ruling_id()
        who = self.arbiters[arbiter]
        await self.run(ruling.approve, BOX, self.id, one, arbiter_id=who, rules=TOGETHER, now=self.now)

    async def reject(self, arbiter: int = 1, ruling_id: str | None = None) -> None:
        one = ruling_id or await self.ruling_id()
        who = self.arbiters[arbiter]
        await self.run(ruling.reject, BOX, self.id, one, arbiter_id=who, why="no", now=self.now)

    async def appeal(self, user: str | None = None) -> None:
        await self.run(
            writes.appeal,
            BOX,
            self.trade.id,
            user_id=user or self.seller,
            statement="I disagree",
            file_ids=[],
            now=self.now,
        )

    async def accept_ruling(self, user: str) -> None:
        await self.run(writes.accept_ruling, self.trade.id, user_id=user, now=self.now)

    async def offer(self, user: str, bps: int) -> str:
        made: str = await self.run(writes.offer, self.trade.id, user_id=user, buyer_bps=bps, now=self.now)
        return made

    async def accept(self, user: str, offer_id: str) -> None:
        await self.run(writes.accept_offer, self.trade.id, offer_id, user_id=user, now=self.now)

    async def concede(self, user: str) -> None:
        await self.run(writes.concede, self.trade.id, user_id=user, now=self.now)

    async def state(self, user: str) -> None:
        await self.run(
            writes.state, BOX, self.trade.id, user_id=user, statement="and more", file_ids=[], now=self.now
        )

    async def advance(self, now: datetime | None = None) -> P2PDisputeProgress:
        found: P2PDisputeProgress = await self.run(advance, self.id, now=now or self.now)
        return found

    async def row(self) -> P2PDispute:
        async with self.world.engine.connect() as conn:
            return await queries.require_of_trade(conn, self.trade.id)

    async def ruling_id(self) -> str:
        return (await self.row()).ruling_id or "0" * 32

    async def status(self) -> str:
        """The dispute's and the trade's."""
        async with self.world.engine.connect() as conn:
            trade = await trades.trade(conn, self.trade.id)
        return f"{(await self.row()).status} {trade.status}"

    async def steps(self) -> list[str]:
        async with self.world.engine.connect() as conn:
            return [str(line.step) for line in await queries.history(conn, self.id)]

    async def shares(self) -> dict[str, int]:
        """What everybody has, where it is not nothing. All laws must hold."""
        assert {} == await self.world.broken_laws()
        found = {
            "buyer": await self.world.balance(available(self.buyer, ETH)),
            "buyer held": await self.world.balance(held(self.buyer, "BRL")),
            "buyer brl": await self.world.balance(available(self.buyer, "BRL")),
            "seller": await self.world.balance(available(self.seller, ETH)),
            "seller held": await self.world.balance(held(self.seller, ETH)),
            "seller brl": await self.world.balance(available(self.seller, "BRL")),
            "fees": await self.world.house(Purpose.FEES, ETH) - self.fees_before,
        }
        return {name: units for name, units in found.items() if units}

    async def outcomes(self) -> int:
        async with self.world.engine.connect() as conn:
            key = {"key": f"{self.trade.id}/outcome"}
            return int(
                (
                    await conn.execute(text("SELECT count(*) FROM ledger_transactions WHERE key = :key"), key)
                ).scalar_one()
            )


async def begin(
    world: World,
    *,
    paid: bool = True,
    fee_payer: Party = Party.BUYER,
    settlement: Settlement = Settlement.DIRECT,
    arbiters: int = 4,
) -> Fight:
    """Two new people trade, and the buyer says that they paid."""
    seller, buyer = await person(world), await person(world)
    trade = await open_trade(
        world.engine, seller=seller, buyer=buyer, fee_payer=fee_payer, settlement=settlement, now=world.now
    )
    if paid:
        trade = await pay(world.engine, trade.id, now=world.now)
    people = [await person(world, Role.ARBITER) for _ in range(arbiters)]
    fees = await world.house(Purpose.FEES, ETH)
    return Fight(world, trade, people, world.now, fees_before=fees)


async def person(world: World, role: Role = Role.USER) -> str:
    """Somebody new; their id."""
    async with world.engine.begin() as conn:
        return (await add_user(conn, email=f"{new_id()}@example.com", role=role)).user_id


async def bring(fight: Fight, state: str) -> None:
    """Have the dispute come to this state; ``proposed again``: after an appeal."""
    await fight.open()
    if state == "open":
        return
    if state == "settled":
        await fight.concede(fight.buyer)
        return
    if state == "proposed":
        await fight.rule(0, rules=TOGETHER)
        return
    await fight.rule(0)
    if state in {"appealed", "proposed again"}:
        await fight.appeal()
    if state == "proposed again":
        await fight.rule(1, rules=TOGETHER)
    if state == "closed":
        await fight.accept_ruling(fight.buyer)
        await fight.accept_ruling(fight.seller)
