"""One P2P trade between two users."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from models.instant_trade.types import Waits
from models.money import Units
from models.p2p_order.types import Settlement
from models.p2p_trade.party import Party as Party  # noqa: PLC0414 it is one of this noun's types
from models.p2p_trade.states import P2PTradeStatus


class Command(StrEnum):
    """What a party may order. ``CANCEL``: of the buyer, also to give up what they said they paid."""

    PAYMENT_SENT = "payment_sent"
    UNDO_PAYMENT_SENT = "undo_payment_sent"
    CONFIRM_PAYMENT = "confirm_payment"
    CANCEL = "cancel"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class Step:
    """One move of a trade, with its coded reason. The same state again is a note in its history."""

    status: P2PTradeStatus
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeFacts:
    """What is known of a trade's charge. ``is_heard``: nothing that was paid in time can still turn up.

    ``is_undecided``: a receipt that may be the payment waits, for the end of its bank's block or its payer's name;
    its amount is right, or not shown yet.
    ``is_refused``: the bank will never make it payable.
    """

    is_heard: bool
    is_undecided: bool
    is_refused: bool


PIX_RECEIVED = Step(P2PTradeStatus.COMPLETED, "pix_received")
"""The bank, not a person, says that the seller's reais are here."""


@dataclass(frozen=True, slots=True)
class P2PTrade:
    """A trade's row. ``units``: of the asset, that the buyer pays for; ``price``: reais per unit shown.

    ``fee_units``: the commission if all of it is released; ``fee_payer`` BUYER: it is taken from what the buyer
    receives, SELLER: it is held on top of ``units``. ``buyer_bps``: the buyer's part by a split, in basis points.
    ``deadline_at``: when the present state ends by itself; None: never. ``method_id``: where the seller is paid, with
    ``Settlement.DIRECT``. ``terms_version``: of the order, when it was taken.
    """

    id: str
    reference: str
    order_id: str
    terms_version: int
    maker_id: str
    seller_id: str
    buyer_id: str
    asset_id: str
    units: Units
    price: Decimal
    total_centavos: Units
    fee_bps: int
    fee_units: Units
    fee_payer: Party
    settlement: Settlement
    method_id: str | None
    status: P2PTradeStatus
    version: int
    reason: str | None
    buyer_bps: int | None
    window_seconds: int
    confirm_seconds: int
    deadline_at: datetime | None
    paid_at: datetime | None
    reminded_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def held_units(self) -> int:
        """Of the seller's coins, while the trade is not over."""
        return self.units + (self.fee_units if self.fee_payer is Party.SELLER else 0)

    @property
    def held_centavos(self) -> int:
        """Of the buyer's reais, while the trade is not over."""
        return self.total_centavos if self.settlement is Settlement.BALANCE else 0

    @property
    def divided_centavos(self) -> int:
        """Of the buyer's reais, held when the trade ends as this row says: those from the start, or just come in."""
        is_received = self.settlement is Settlement.CHARGE and self.reason == PIX_RECEIVED.reason
        return self.total_centavos if is_received else self.held_centavos

    def party(self, user_id: str) -> Party | None:
        return {self.buyer_id: Party.BUYER, self.seller_id: Party.SELLER}.get(user_id)


@dataclass(frozen=True, slots=True)
class P2PTradeLine:
    """One line of a trade's history."""

    version: int
    old_status: P2PTradeStatus | None
    new_status: P2PTradeStatus
    reason: str | None
    actor: str
    details: dict[str, JsonValue]
    at: datetime


@dataclass(frozen=True, slots=True)
class P2PTradeInput:
    """Everything that a trade's workflow needs. Ids and durations only; the row has the durations too."""

    trade_id: str
    window_seconds: float
    confirm_seconds: float
    waits: Waits


@dataclass(frozen=True, slots=True)
class P2PTradeProgress:
    """``waits_for``: in words, for operators.

    ``seconds_to_next``: until something happens by itself; None: nothing does.
    """

    status: P2PTradeStatus
    is_over: bool
    waits_for: str = ""
    seconds_to_next: float | None = None
