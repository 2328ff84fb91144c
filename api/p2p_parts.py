"""How people in a trade are named to each other: by their part, and arbiters by nothing more than that."""

from typing import Literal

from models.p2p_trade.types import P2PTrade

Part = Literal["buyer", "seller", "arbiter", "system"]


def part_of(trade: P2PTrade, actor: str | None) -> Part:
    """``actor``: a user's id; ``system`` or None: nobody."""
    if actor is None or actor == "system":
        return "system"
    if actor == trade.buyer_id:
        return "buyer"
    return "seller" if actor == trade.seller_id else "arbiter"
