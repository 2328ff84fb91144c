"""The two flows that an instant trade can run: which facts they read, which rules decide, what a step does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from models.deposit import returns
from models.instant_trade import buy_effects, buy_rules, effects, queries, rules
from models.instant_trade.moment import Moment
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.types import Lock, Step, Terms, Trade
from models.instant_trade.writes import keep_locks, step, write
from models.quote.types import Side


@dataclass(frozen=True, slots=True)
class Flow:
    """``effects`` and ``locks``: by the state a step leads to. All of one kind of facts."""

    facts: Callable[[AsyncConnection, Trade], Awaitable[Any]]
    decide: Callable[[Trade, Any, datetime], Step | None]
    effects: Mapping[TradeStatus, Callable[[AsyncConnection, Trade, Moment[Any]], Awaitable[Trade]]]
    locks: Mapping[TradeStatus, set[Lock]]
    may_cancel: Callable[[Trade, Any], bool]

    async def move_to(
        self,
        conn: AsyncConnection,
        trade: Trade,
        facts: Any,
        to: Step,
        terms: Terms,
        now: datetime,
        *,
        actor: str = "system",
    ) -> Trade:
        """One step with everything that belongs to it, inside the caller's transaction. ``trade`` must be locked."""
        moment = Moment(trade.status, facts, terms, now)
        trade = await step(conn, trade, to, actor=actor)
        if effect := self.effects.get(trade.status):
            trade = await effect(conn, trade, moment)
        await keep_locks(conn, trade.id, self.locks.get(trade.status, set()), now)
        if trade.status in ENDED and trade.held_units:
            await returns.give_back(conn, trade, trade.held_units, "excess")
            trade = await write(conn, trade, held_units=0)
        return trade


FLOWS: dict[Side, Flow] = {
    Side.SELL: Flow(queries.facts, rules.decide, effects.EFFECTS, effects.LOCKS, rules.may_cancel),
    Side.BUY: Flow(queries.buy_facts, buy_rules.decide, buy_effects.EFFECTS, buy_effects.LOCKS, buy_rules.may_cancel),
}
