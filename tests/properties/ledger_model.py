"""The ledger in plain Python: what its rules say, in dictionaries of whole numbers, without a word of SQL.

What the database does is compared with this, so nothing here may be read from the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from models.ledger.chart import Account
from models.ledger.types import Transaction


class Refusal(StrEnum):
    FUNDS = "a user's account would fall below zero"
    KEY = "the key was posted with other content"


Outcome = list[bool] | Refusal
"""Of one call: for each of its transactions whether it was new, or why none of them was posted."""


@dataclass
class Model:
    balances: dict[Account, int] = field(default_factory=dict)
    posted: dict[str, Transaction] = field(default_factory=dict)

    def post(self, *transactions: Transaction) -> Outcome:
        """All or none, one after the other."""
        after = self.copy()
        fresh: list[bool] = []
        for transaction in transactions:
            known = after.posted.get(transaction.key)
            if known is not None and content(known) != content(transaction):
                return Refusal.KEY
            fresh.append(known is None)
            if known is None and not after._move(transaction):
                return Refusal.FUNDS
        self.balances, self.posted = after.balances, after.posted
        return fresh

    def copy(self) -> "Model":
        return Model(dict(self.balances), dict(self.posted))

    def of(self, account: Account) -> int:
        return self.balances.get(account, 0)

    def _move(self, transaction: Transaction) -> bool:
        for posting in transaction.postings:
            self.balances[posting.account] = self.of(posting.account) + posting.units
        self.posted[transaction.key] = transaction
        return all(self.of(p.account) >= 0 for p in transaction.postings if p.account.owner is not None)


def content(transaction: Transaction) -> tuple[object, ...]:
    """All but the key; in which order postings are written down says nothing."""
    postings = frozenset((posting.account, posting.units) for posting in transaction.postings)
    return transaction.kind, transaction.reference, transaction.reason or "", postings


def in_some_order(start: Model, calls: Sequence[Sequence[Transaction]], outcomes: Sequence[Outcome]) -> Model | None:
    """The books after calls that were made at once, if they could have had these outcomes one after the other."""
    return next(_orders(start, dict(enumerate(calls)), outcomes), None)


def _orders(
    start: Model, waiting: Mapping[int, Sequence[Transaction]], outcomes: Sequence[Outcome]
) -> Iterator[Model]:
    if not waiting:
        yield start
    for number, call in waiting.items():
        after = start.copy()
        if after.post(*call) == outcomes[number]:
            yield from _orders(after, {n: rest for n, rest in waiting.items() if n != number}, outcomes)
