"""What the effects of a step may depend on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from models.errors import Broken
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Terms

KnownFacts = TypeVar("KnownFacts")
Column = TypeVar("Column")


@dataclass(frozen=True, slots=True)
class Moment(Generic[KnownFacts]):
    """Where the trade came from, what is known, what was agreed, and the time."""

    before: TradeStatus
    facts: KnownFacts
    terms: Terms
    now: datetime


def require(column: Column | None) -> Column:
    """A column that the table's own check demands of every trade of this operation."""
    if column is None:
        raise Broken("a trade's row lacks what its operation needs")
    return column
