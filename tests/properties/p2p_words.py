"""What people can say in the machine of ``test_p2p_machine.py``: each a piece of work for one database transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.p2p_dispute import queries as disputes
from models.p2p_dispute import ruling
from models.p2p_dispute import writes as dispute_writes
from models.p2p_dispute.types import DisputeReason, DisputeRules, RulingOrder, RulingReason
from models.p2p_order import queries as orders
from models.p2p_order import writes as order_writes
from models.p2p_order.types import OrderTerms, P2POrder, P2PRules, PriceKind, Settlement
from models.p2p_trade import writes
from models.p2p_trade.types import Command
from models.quote.types import Side
from tests.models.p2p_fair import Place, Work
from tests.models.p2p_rows import TERMS as PLAIN
from tests.models.p2p_world import RULES, TAKE, WINDOW
from tests.models.world import BOX, COIN, ETH, TERMS, WAITS

MARKET = Decimal("15012.34")


@dataclass(frozen=True)
class Scene:
    """``bps``, ``rules``: for the words that have such."""

    trade: str
    user: str
    bps: int
    rules: DisputeRules
    now: datetime


@dataclass(frozen=True)
class Word:
    """``stages``: where it may be of use. ``by``: ``buyer``, ``seller``, ``either`` of the two, or ``arbiter``.

    ``weight``: how much oftener than others it is said.
    """

    say: Callable[[AsyncConnection, Scene], Awaitable[object]]
    stages: frozenset[str]
    by: str
    weight: int = 1

    def speakers(self, place: Place, arbiters: list[str]) -> list[str]:
        """Those whose word it is."""
        buyer, seller = place.buyer_id, place.seller_id
        return {"buyer": [buyer], "seller": [seller], "either": [buyer, seller], "arbiter": arbiters}[self.by]


async def _command(command: Command, conn: AsyncConnection, scene: Scene) -> None:
    await writes.command(conn, scene.trade, command, user_id=scene.user, now=scene.now)


async def _open(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.open_dispute(
        conn,
        BOX,
        scene.trade,
        user_id=scene.user,
        reason=DisputeReason.FRAUD,
        statement="no",
        file_ids=[],
        now=scene.now,
    )


async def _state(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.state(
        conn, BOX, scene.trade, user_id=scene.user, statement="and", file_ids=[], now=scene.now
    )


async def _appeal(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.appeal(
        conn, BOX, scene.trade, user_id=scene.user, statement="no", file_ids=[], now=scene.now
    )


async def _offer(conn: AsyncConnection, scene: Scene) -> None:
    bps = min(max(scene.bps, 1), 9_999)
    await dispute_writes.offer(conn, scene.trade, user_id=scene.user, buyer_bps=bps, now=scene.now)


async def _accept_offer(conn: AsyncConnection, scene: Scene) -> None:
    """The last one that this user saw; by now the other may have made another one."""
    dispute = await disputes.require_of_trade(conn, scene.trade)
    theirs = [each.id for each in await disputes.offers(conn, dispute.id) if each.user_id != scene.user]
    offer = theirs[-1] if theirs else "0" * 32
    await dispute_writes.accept_offer(conn, scene.trade, offer, user_id=scene.user, now=scene.now)


async def _concede(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.concede(conn, scene.trade, user_id=scene.user, now=scene.now)


async def _accept_ruling(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.accept_ruling(conn, scene.trade, user_id=scene.user, now=scene.now)


async def _rule(conn: AsyncConnection, scene: Scene) -> None:
    dispute = await disputes.require_of_trade(conn, scene.trade)
    order = RulingOrder(scene.bps, RulingReason.OTHER, "so it is")
    await ruling.rule(conn, BOX, dispute.id, order, arbiter_id=scene.user, rules=scene.rules, now=scene.now)


async def _approve(conn: AsyncConnection, scene: Scene) -> None:
    dispute = await disputes.require_of_trade(conn, scene.trade)
    proposed = dispute.ruling_id or "0" * 32
    await ruling.approve(conn, BOX, dispute.id, proposed, arbiter_id=scene.user, rules=scene.rules, now=scene.now)


async def _reject(conn: AsyncConnection, scene: Scene) -> None:
    dispute = await disputes.require_of_trade(conn, scene.trade)
    proposed = dispute.ruling_id or "0" * 32
    await ruling.reject(conn, BOX, dispute.id, proposed, arbiter_id=scene.user, why="no", now=scene.now)


_PAID = frozenset({"payment_sent"})
_LIVE = frozenset({f"disputed/{stage}" for stage in ("open", "proposed", "ruled", "appealed")})
_PROPOSED, _RULED = frozenset({"disputed/proposed"}), frozenset({"disputed/ruled"})
WORDS = {
    "pays": Word(partial(_command, Command.PAYMENT_SENT), frozenset({"open"}), "buyer", 3),
    "undoes": Word(partial(_command, Command.UNDO_PAYMENT_SENT), _PAID, "buyer"),
    "confirms": Word(partial(_command, Command.CONFIRM_PAYMENT), _PAID, "seller", 2),
    "cancels": Word(partial(_command, Command.CANCEL), frozenset({"open"}) | _PAID, "either"),
    "freezes": Word(partial(_command, Command.DISPUTE), _PAID, "either"),
    "disputes": Word(_open, _PAID, "either", 2),
    "states": Word(_state, _LIVE, "either"),
    "offers": Word(_offer, _LIVE, "either", 2),
    "accepts the offer": Word(_accept_offer, _LIVE, "either", 2),
    "accepts the ruling": Word(_accept_ruling, _RULED, "either", 4),
    "appeals": Word(_appeal, _RULED, "either", 3),
    "rules": Word(_rule, frozenset({"disputed/open", "disputed/appealed"}), "arbiter", 5),
    "approves": Word(_approve, _PROPOSED, "arbiter", 5),
    "rejects": Word(_reject, _PROPOSED, "arbiter", 2),
    "concedes": Word(_concede, _LIVE, "either"),
    "releases": Word(partial(_command, Command.CONFIRM_PAYMENT), _LIVE, "seller"),
    "gives up": Word(partial(_command, Command.CANCEL), _LIVE, "buyer"),
}
STAGES = frozenset[str]().union(*(word.stages for word in WORDS.values()))


def fitting(stage: str) -> list[str]:
    """What may be of use there, each as often as it has weight; all there is, where nothing may."""
    found = [name for name, word in WORDS.items() if stage in word.stages for _ in range(word.weight)]
    return found or list(WORDS)


# Orders, and how they are taken.

SIZES: dict[str, Callable[[P2POrder], int]] = {
    "some": lambda _: TAKE,
    "odd": lambda _: TAKE // 7 + 1,
    "the rest": lambda order: order.available_units or 1,
    "too much": lambda order: order.available_units + 1,
}
EDITS: dict[str, Callable[[P2POrder], dict[str, object]]] = {
    "more": lambda order: {"total_units": order.total_units + COIN},
    "as little as can be": lambda order: {"total_units": max(order.total_units - order.available_units, TAKE)},
    "less than is taken": lambda order: {"total_units": max(order.total_units - order.available_units - 1, TAKE)},
    "another price": lambda _: {"price_kind": PriceKind.FIXED, "price": Decimal("15500.05"), "margin_bps": None},
    "other settlements": lambda _: {
        "settlements": (Settlement.BALANCE, Settlement.CHARGE),
        "method_ids": (),
        "method_kinds": (),
    },
    "small trades only": lambda _: {"max_centavos": 100_00},
}


def terms(side: Side, method: str, price: Decimal | None, total: int) -> OrderTerms:
    """``price`` None: as the market says, and something more."""
    is_sale = side is Side.SELL
    return replace(
        PLAIN,
        total_units=total,
        price_kind=PriceKind.FLOATING if price is None else PriceKind.FIXED,
        price=price,
        margin_bps=150 if price is None else None,
        min_centavos=10_00,
        max_centavos=100_000_00,
        settlements=tuple(Settlement),
        method_ids=(method,) if is_sale else (),
        method_kinds=() if is_sale else ("pix",),
        window_seconds=WINDOW,
    )


def create(user: str, side: Side, wanted: OrderTerms) -> Work:
    return lambda conn: order_writes.create(conn, BOX, user_id=user, side=side, asset=ETH, terms=wanted, rules=RULES)


def change(order: P2POrder, user: str, edit: str, *, is_new: bool = True) -> Work:
    """``is_new``: they have seen its present version."""
    known = {each.name: getattr(order, each.name, "") for each in fields(OrderTerms)}
    if order.side is Side.SELL:
        # Kinds of a sale follow from the methods, and are not said.
        known["method_kinds"] = ()
    wanted = OrderTerms(**{**known, **EDITS[edit](order)})
    version = order.version if is_new else order.version + 1
    return lambda conn: order_writes.change(
        conn, BOX, order_id=order.id, user_id=user, version=version, asset=ETH, terms=wanted, rules=RULES
    )


def take(
    order: P2POrder,
    user: str,
    settlement: Settlement,
    size: str,
    rules: P2PRules,
    *,
    method: str,
    now: datetime,
) -> Work:
    """Of the order as the taker has seen it; gives the trade's id.

    :param method: where the taker is paid, should they sell and be paid directly.
    """
    units = SIZES[size](order)
    sells_directly = order.side is Side.BUY and settlement is Settlement.DIRECT
    wanted = writes.Take(user, settlement, units=units, method_id=method if sells_directly else None)

    async def work(conn: AsyncConnection) -> str:
        trade_id = new_id()
        await writes.accept(
            conn,
            trade_id=trade_id,
            order=await orders.order(conn, order.id, lock=True),
            asset=ETH,
            wanted=wanted,
            market=MARKET,
            rules=rules,
            terms=TERMS,
            waits=WAITS,
            now=now,
        )
        return trade_id

    return work
