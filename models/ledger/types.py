"""One ledger transaction, as a caller writes it down."""

from dataclasses import field
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.errors import LedgerUnbalanced
from models.ledger.chart import Account
from models.money import Units


class Kind(StrEnum):
    DEPOSIT = "deposit"
    HOLD = "hold"
    RELEASE = "release"
    SELL = "sell"
    UNSELL = "unsell"
    PAYOUT = "payout"
    PAYOUT_RETURN = "payout_return"
    CREDIT = "credit"
    REFUND = "refund"
    NETWORK_FEE = "network_fee"
    FUNDING = "funding"


@dataclass(frozen=True, slots=True)
class Posting:
    """``units``: signed base units of the account's asset; positive raises what we owe."""

    account: Account
    units: Units


@dataclass(frozen=True, slots=True)
class Transaction:
    """Postings that happen together or not at all, under a key that happens once.

    ``reference``: the trade, deposit or transfer they belong to.
    :raises LedgerUnbalanced: an asset does not sum to zero, or a posting moves nothing.
    """

    key: str
    kind: Kind
    reference: str
    postings: tuple[Posting, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        sums: dict[str, int] = {}
        for posting in self.postings:
            sums[posting.account.asset] = sums.get(posting.account.asset, 0) + posting.units
            if posting.units == 0:
                raise LedgerUnbalanced(f"{self.key}: a posting of zero")
        if not self.postings or any(sums.values()):
            raise LedgerUnbalanced(f"{self.key}: does not sum to zero per asset")


def move(key: str, kind: Kind, reference: str, source: Account, target: Account, units: int) -> Transaction:
    """``units`` from ``source`` to ``target``, both of one asset."""
    return Transaction(key, kind, reference, (Posting(source, -units), Posting(target, units)))
