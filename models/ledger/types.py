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
    TRANSFER = "transfer"
    WITHDRAWAL = "withdrawal"
    ADJUSTMENT = "adjustment"
    RECEIPT = "receipt"
    RECEIPT_RETURN = "receipt_return"
    BUY = "buy"
    UNBUY = "unbuy"
    DELIVERY = "delivery"
    DISPUTE = "dispute"
    ESCROW = "escrow"
    ESCROW_RETURN = "escrow_return"
    P2P_TRADE = "p2p_trade"
    COMMISSION = "commission"


class Operation(StrEnum):
    """What users read a transaction as, in their history."""

    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    TRANSFER = "transfer"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    FEE = "fee"
    TRADE = "trade"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"
    DISPUTE = "dispute"


OPERATIONS: dict[Kind, Operation] = {
    Kind.DEPOSIT: Operation.DEPOSIT,
    Kind.HOLD: Operation.FREEZE,
    Kind.RELEASE: Operation.UNFREEZE,
    Kind.SELL: Operation.TRADE,
    Kind.UNSELL: Operation.TRADE,
    Kind.PAYOUT: Operation.WITHDRAWAL,
    Kind.PAYOUT_RETURN: Operation.REFUND,
    Kind.CREDIT: Operation.REFUND,
    Kind.REFUND: Operation.REFUND,
    Kind.NETWORK_FEE: Operation.FEE,
    Kind.FUNDING: Operation.ADJUSTMENT,
    Kind.TRANSFER: Operation.TRANSFER,
    Kind.WITHDRAWAL: Operation.WITHDRAWAL,
    Kind.ADJUSTMENT: Operation.ADJUSTMENT,
    Kind.RECEIPT: Operation.DEPOSIT,
    Kind.RECEIPT_RETURN: Operation.REFUND,
    Kind.BUY: Operation.TRADE,
    Kind.UNBUY: Operation.TRADE,
    Kind.DELIVERY: Operation.WITHDRAWAL,
    Kind.DISPUTE: Operation.DISPUTE,
    Kind.ESCROW: Operation.FREEZE,
    Kind.ESCROW_RETURN: Operation.UNFREEZE,
    Kind.P2P_TRADE: Operation.TRADE,
    Kind.COMMISSION: Operation.FEE,
}
"""The database's function ``ledger_operation`` says the same; it refuses a kind it does not know."""


@dataclass(frozen=True, slots=True)
class Posting:
    """``units``: signed base units of the account's asset; positive raises what we owe."""

    account: Account
    units: Units


@dataclass(frozen=True, slots=True)
class Transaction:
    """Postings that happen together or not at all, under a key that happens once.

    ``reference``: the trade, deposit or transfer they belong to. ``reason``: a person's words, where a person did it.
    :raises LedgerUnbalanced: an asset does not sum to zero, a posting moves nothing, or an account has two.
    """

    key: str
    kind: Kind
    reference: str
    postings: tuple[Posting, ...] = field(default_factory=tuple)
    reason: str | None = None

    def __post_init__(self) -> None:
        sums: dict[str, int] = {}
        for posting in self.postings:
            sums[posting.account.asset] = sums.get(posting.account.asset, 0) + posting.units
            if posting.units == 0:
                raise LedgerUnbalanced(f"{self.key}: a posting of zero")
        if len({posting.account for posting in self.postings}) < len(self.postings):
            raise LedgerUnbalanced(f"{self.key}: two postings to one account")
        if not self.postings or any(sums.values()):
            raise LedgerUnbalanced(f"{self.key}: does not sum to zero per asset")


def move(
    key: str, kind: Kind, reference: str, source: Account, target: Account, units: int, *, reason: str | None = None
) -> Transaction:
    """``units`` from ``source`` to ``target``, both of one asset."""
    return Transaction(key, kind, reference, (Posting(source, -units), Posting(target, units)), reason)
