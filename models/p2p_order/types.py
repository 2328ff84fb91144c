"""A P2P order: what its maker offers to trade with anybody, and on which terms."""

from dataclasses import field
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from models.money import Units
from models.p2p_order.states import OrderStatus
from models.p2p_trade.party import Party
from models.payment_method.types import MethodKind
from models.quote.types import Side


class PriceKind(StrEnum):
    """``FLOATING``: the market's price and a margin, within a floor and a ceiling."""

    FIXED = "fixed"
    FLOATING = "floating"


class Settlement(StrEnum):
    """How the reais of a trade reach the seller.

    ``BALANCE``: from the buyer's platform balance; both legs are held from the start.
    ``CHARGE``: by a PIX charge at our own provider; the receipt, checked by machine, releases the coins.
    ``DIRECT``: to the seller's own account, outside; the seller confirms.
    """

    BALANCE = "balance"
    CHARGE = "charge"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class P2POrder:
    """``side``: what the maker does. ``total_units``: ever offered; ``available_units``: not in or through a trade.

    ``price``: reais per unit shown, of a fixed one. ``margin_bps``: of a floating one, added to the market's price;
    may be negative. ``min_centavos``, ``max_centavos``: of one trade. ``opens_at``, ``closes_at``: the hours in
    America/Sao_Paulo in which it may be taken; None: always. ``require_*``, ``min_*``: who may take it.
    ``method_ids``: of a sale, where the maker is paid by ``DIRECT``. ``method_kinds``: how the maker is ready to pay
    by ``DIRECT``, or of a sale the kinds of those methods. ``auto_reply_sealed``: what the maker says first in each
    chat, sealed as chats are; None: nothing.
    """

    id: str
    user_id: str
    side: Side
    asset_id: str
    status: OrderStatus
    version: int
    total_units: Units
    available_units: Units
    price_kind: PriceKind
    price: Decimal | None
    margin_bps: int | None
    price_floor: Decimal | None
    price_ceiling: Decimal | None
    min_centavos: Units
    max_centavos: Units
    settlements: tuple[Settlement, ...]
    method_ids: tuple[str, ...]
    method_kinds: tuple[str, ...]
    window_seconds: int
    terms: str
    auto_reply_sealed: bytes | None
    opens_at: time | None
    closes_at: time | None
    require_verified: bool
    min_trades: int
    min_completion_bps: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Tier:
    """``bps``: the commission of whoever traded at least ``from_centavos`` in the last 30 days."""

    from_centavos: Units
    bps: Annotated[int, Field(ge=0, le=5_000)]


@dataclass(frozen=True, slots=True)
class P2PRules:
    """This installation's rules for orders and trades. A change meets new trades only.

    ``unpaid_most``: trades that a user may have under way at once as the buyer who took the order, before the seller
    has the reais: said to be paid, or in dispute, they count too; those paid from the balance do not.
    ``unpaid_day_most``: how many of those may end unpaid within 24 hours before no more can be taken for
    ``cooldown_seconds``. ``confirm_seconds``: for the seller to confirm what the buyer says was paid.
    ``commission_bps``: of the coins; ``commission_tiers``: less of it for those who trade more; the last one reached
    holds. ``commission_payer``: who it is taken from. ``trade_*_centavos``: the least and the most of any trade.
    ``window_*_seconds``: for the buyer to pay. ``orders_most``: that a user may have active or paused at once.
    ``charge_most_centavos``: of one that a charge pays for, since the house may have to give those reais back.
    """

    unpaid_most: int = 5
    unpaid_day_most: int = 3
    charge_most_centavos: Units = 1_000_000
    cooldown_seconds: float = 24 * 60 * 60
    confirm_seconds: int = 60 * 60
    commission_bps: int = 200
    commission_tiers: tuple[Tier, ...] = ()
    commission_payer: Party = Party.BUYER
    trade_min_centavos: Units = 1_000
    trade_max_centavos: Units = 10_000_000
    window_least_seconds: int = 15 * 60
    window_most_seconds: int = 24 * 60 * 60
    window_default_seconds: int = 30 * 60
    orders_most: int = 50

    def commission_bps_at(self, volume_centavos: int) -> int:
        """For a fee payer who traded so much in the last 30 days."""
        reached = [tier for tier in self.commission_tiers if tier.from_centavos <= volume_centavos]
        return max(reached, key=lambda tier: tier.from_centavos).bps if reached else self.commission_bps


class TakeRefusal(StrEnum):
    """Why somebody cannot take an order now."""

    OWN_ORDER = "own_order"
    BLOCKED = "blocked"
    CLOSED = "closed"
    PAUSED = "paused"
    CLOSED_HOURS = "closed_hours"
    NOT_VERIFIED = "not_verified"
    TOO_FEW_TRADES = "too_few_trades"
    COMPLETION_TOO_LOW = "completion_too_low"
    COOLING_DOWN = "cooling_down"
    TOO_MANY_UNPAID = "too_many_unpaid"


@dataclass(frozen=True, slots=True)
class Taker:
    """What is known of somebody who wants to take an order.

    ``is_verified``: an operator has seen their document. ``trades``: completed. ``completion_bps``: of the trades
    whose end counted for or against them; None: there are none. ``unpaid_live``: trades that they took as the buyer
    and whose reais the seller does not have yet, whatever the buyer says: live ones, but for those paid from the
    balance, whose reais are held. ``cooldown_until``: they take nothing as the buyer before; None: no such time.
    """

    user_id: str
    is_verified: bool
    trades: int
    completion_bps: int | None
    unpaid_live: int
    cooldown_until: datetime | None
    unpaid_most: int


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What the maker may say and change: see :class:`P2POrder`.

    ``total_units``: wanted. ``auto_reply``: in clear, in no repr.
    """

    total_units: Units
    price_kind: PriceKind
    price: Decimal | None
    margin_bps: int | None
    price_floor: Decimal | None
    price_ceiling: Decimal | None
    min_centavos: Units
    max_centavos: Units
    settlements: tuple[Settlement, ...]
    method_ids: tuple[str, ...]
    method_kinds: tuple[str, ...]
    window_seconds: int
    terms: str
    auto_reply: str = field(repr=False)
    opens_at: time | None
    closes_at: time | None
    require_verified: bool
    min_trades: int
    min_completion_bps: int


class Sort(StrEnum):
    """``PRICE``: best for the taker first. ``REPUTATION``: the makers' completion rate, then their trades."""

    PRICE = "price"
    REPUTATION = "reputation"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Book:
    """An asset and its market price: None where there is none now, so that floating prices are unknown."""

    asset_id: str
    decimals: int
    price_decimals: int
    market: Decimal | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders a taker wants to see. None: any.

    ``side``: the makers'. ``centavos``: of one trade, which the order's limits and what is left of it must allow.
    """

    side: Side | None = None
    centavos: Units | None = None
    settlement: Settlement | None = None
    method_kind: MethodKind | None = None
    verified_only: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The last order of a page, in its sorting. ``key``: its price, its maker's score, or when it was made.

    ``market``: the price that floating ones were sorted by on the first page; with another one, the next page would
    repeat some and leave out others.
    """

    sort: Sort
    key: str
    order_id: str
    market: Decimal | None = None


@dataclass(frozen=True, slots=True)
class MarketStats:
    """Of one asset: ``last``, of the last trade completed; ``ask``, the least that makers sell for now; ``bid``, the
    most that they buy for. None: there is none. ``units``, ``centavos``: of the trades completed in 24 hours.
    """

    asset_id: str
    last: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    units: Units
    centavos: Units
    trades: int
    open_orders: int
