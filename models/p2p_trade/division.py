"""What each end of a trade gives to whom, and its two ledger transactions. Pure arithmetic in base units.

One formula for all ends: the buyer's part is all of it by a release, nothing by a return.
"""

from pydantic.dataclasses import dataclass

from models.assets import BRL
from models.ledger.chart import Account, Purpose, available, held, house
from models.ledger.types import Kind, Posting, Transaction
from models.money import Units
from models.p2p_trade.commission import fee_of
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import P2PTrade, Party
from models.quote.rules import BPS

S = P2PTradeStatus


@dataclass(frozen=True, slots=True)
class Division:
    """``*_units``: of the asset. ``*_centavos``: of the reais that were held; 0 if none were."""

    buyer_units: Units
    seller_units: Units
    fee_units: Units
    seller_centavos: Units
    buyer_centavos: Units


def divide(trade: P2PTrade, buyer_bps: int) -> Division:
    """Divide what is held, ``buyer_bps`` of the coins to the buyer. Each rounding down leaves a unit where it was.

    The commission is on the buyer's part only, and paid as agreed: out of that part, or on top of it.
    """
    part = trade.units * buyer_bps // BPS
    fee = fee_of(part, trade.fee_bps)
    taken = fee if trade.fee_payer is Party.BUYER else 0
    paid = trade.held_centavos * buyer_bps // BPS
    return Division(
        buyer_units=part - taken,
        seller_units=trade.held_units - part - fee + taken,
        fee_units=fee,
        seller_centavos=paid,
        buyer_centavos=trade.held_centavos - paid,
    )


def buyer_bps_of(status: P2PTradeStatus, buyer_bps: int | None) -> int:
    """The buyer's part by an end, in basis points."""
    if status is S.SPLIT and buyer_bps is not None:
        return buyer_bps
    return BPS if status is S.COMPLETED else 0


def escrow(trade: P2PTrade) -> Transaction:
    """Both legs leave their owners' free balances before the buyer is told to pay."""
    return _transaction(
        trade,
        "escrow",
        Kind.ESCROW,
        [
            (available(trade.seller_id, trade.asset_id), -trade.held_units),
            (held(trade.seller_id, trade.asset_id), trade.held_units),
            (available(trade.buyer_id, BRL.id), -trade.held_centavos),
            (held(trade.buyer_id, BRL.id), trade.held_centavos),
        ],
    )


def outcome(trade: P2PTrade, status: P2PTradeStatus, buyer_bps: int | None = None) -> Transaction:
    """The one transaction that ends the trade so. All ends share one key, so the ledger takes one of them."""
    bps = buyer_bps_of(status, buyer_bps)
    parts = divide(trade, bps)
    kind = Kind.P2P_TRADE if bps else Kind.ESCROW_RETURN
    return _transaction(
        trade,
        "outcome",
        kind,
        [
            (held(trade.seller_id, trade.asset_id), -trade.held_units),
            (available(trade.seller_id, trade.asset_id), parts.seller_units),
            (available(trade.buyer_id, trade.asset_id), parts.buyer_units),
            (house(Purpose.FEES, trade.asset_id), parts.fee_units),
            (held(trade.buyer_id, BRL.id), -trade.held_centavos),
            (available(trade.buyer_id, BRL.id), parts.buyer_centavos),
            (available(trade.seller_id, BRL.id), parts.seller_centavos),
        ],
    )


def _transaction(trade: P2PTrade, name: str, kind: Kind, moved: list[tuple[Account, int]]) -> Transaction:
    postings = tuple(Posting(account, units) for account, units in moved if units)
    return Transaction(f"{trade.id}/{name}", kind, trade.id, postings)
