"""A P2P order: what its maker offers to trade with anybody, and on which terms."""

from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.money import Units
from models.p2p_order.states import OrderStatus
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
    ``method_ids``: of a sale, where the maker is paid by ``DIRECT``. ``method_kinds``: of a purchase, how the maker
    is ready to pay by ``DIRECT``.
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
    auto_reply: str
    opens_at: time | None
    closes_at: time | None
    require_verified: bool
    min_trades: int
    min_completion_bps: int
    created_at: datetime
    updated_at: datetime
