"""Prove the books again from the first row, trusting neither the functions nor the constraints that wrote them.

Everything is computed here in Python, on purpose a second time. One pass over one moment of the database, in the
order of posting; what is kept in memory is per account.
"""

import hashlib
import re
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic.dataclasses import dataclass as checked_dataclass
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import InvalidInput

Progress = Callable[[int, int], None]
"""Called now and then with how many transactions were examined, and of how many."""

FINDINGS_MOST = 100
"""Kept; the rest is counted."""

_ROWS = 2_000
_ANCHOR = re.compile(r"(\d{1,18}):([0-9a-fA-F]{64})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_TOTAL = text("SELECT count(*) FROM ledger_transactions")
_ACCOUNTS = text(
    "SELECT id, owner, asset_id, purpose, is_constrained, balance, moved_at FROM ledger_accounts ORDER BY id"
)
_TRANSACTIONS = text("""
SELECT t.id, t.key, t.kind, t.reference, t.reason, t.content_hash, t.recorded_at,
       p.account_id, p.amount, p.balance_after, p.recorded_at
    FROM ledger_transactions AS t LEFT JOIN ledger_postings AS p ON p.transaction_id = t.id
    ORDER BY t.recorded_at, t.id
""")
_SEALS = text("SELECT number, sealed_until, transactions, hash FROM ledger_seals ORDER BY number")
_SNAPSHOTS = text("SELECT account_id, taken_at, balance FROM ledger_snapshots ORDER BY taken_at, account_id")
_STRAYS = text("""
SELECT p.transaction_id, p.account_id FROM ledger_postings AS p
    WHERE NOT EXISTS (SELECT FROM ledger_transactions AS t WHERE t.id = p.transaction_id)
    ORDER BY p.transaction_id, p.account_id
""")
_CLOSING = text("SELECT closing_at FROM ledger_clock")


@checked_dataclass(frozen=True, slots=True)
class Verdict:
    """``findings``: the first of ``bad`` sentences, each naming its row, in the order of posting."""

    transactions: int
    postings: int
    seals: int
    snapshots: int
    bad: int
    findings: list[str]
    anchor: str | None
    """``NUMBER:HASH`` of the last seal, to be kept elsewhere; None before the first."""

    @property
    def is_clean(self) -> bool:
        return not self.bad


async def verify(conn: AsyncConnection, on_progress: Progress, anchor: str | None = None) -> Verdict:
    """Examine all transactions, postings, balances, seals and snapshots.

    :param conn: nothing was read in its database transaction before.
    :param anchor: ``NUMBER:HASH`` of a seal as it was, kept outside this database. Without one, a history that was
        rewritten together with all its seals is not found.
    :raises InvalidInput: the anchor is not of that form.
    """
    expected = _parsed(anchor)
    await conn.execute(_ONE_MOMENT)
    total = (await conn.execute(_TOTAL)).scalar_one()
    findings = _Findings()
    books = _Books(findings, await _accounts(conn))
    async with AsyncExitStack() as streams:
        seals, snapshots = _stream(conn, _SEALS), _stream(conn, _SNAPSHOTS)
        for stream in (seals, snapshots):
            streams.push_async_callback(stream.aclose)
        chain = _Chain(findings, books, seals, snapshots, expected)
        await chain.begin()
        async for transaction in _transactions(conn):
            while transaction.recorded_at > chain.until:
                await chain.close_seal()
            leaf = books.enter(transaction)
            chain.add(leaf)
            if books.transactions % _ROWS == 0:
                on_progress(books.transactions, total)
        await chain.finish()
    books.close()
    for stray in await conn.execute(_STRAYS):
        findings.add(f"posting of transaction {stray[0]} to {books.name(stray[1])}: there is no such transaction")
    closing_at = (await conn.execute(_CLOSING)).scalar_one_or_none()
    if chain.sealed_until is not None and (closing_at is None or closing_at < chain.sealed_until):
        findings.add(f"the ledger's clock: it lets in what is older than the last seal ({chain.sealed_until})")
    on_progress(books.transactions, total)
    return Verdict(
        transactions=books.transactions,
        postings=books.postings,
        seals=chain.seals,
        snapshots=chain.snapshots,
        bad=findings.count,
        findings=findings.first,
        anchor=chain.anchor,
    )


class _Findings:
    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, sentence: str) -> None:
        self.count += 1
        if self.count <= FINDINGS_MOST:
            self.first.append(sentence)


@dataclass(slots=True)
class _Account:
    """``units``: the sum of the postings so far. ``after``: what the last posting says is there."""

    id: int
    owner: str
    asset: str
    purpose: str
    is_constrained: bool
    balance: int | None
    moved_at: datetime | None
    units: int = 0
    after: int = 0
    last_at: datetime | None = None

    @property
    def name(self) -> str:
        return f"account {self.id} ({self.purpose} {self.asset} of {self.owner or 'the house'})"


@dataclass(slots=True)
class _Transaction:
    """``postings``: account, amount, balance after, time."""

    id: int
    key: str
    kind: str
    reference: str
    reason: str | None
    content_hash: bytes
    recorded_at: datetime
    postings: list[tuple[int, int, int | None, datetime]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"transaction {self.id} (key {self.key})"

    @property
    def leaf(self) -> bytes:
        """What a seal's hash is made of."""
        return struct.pack(">q", self.id) + self.content_hash + self.key.encode() + _microseconds(self.recorded_at)


class _Books:
    """The running balances, and the laws of one transaction."""

    def __init__(self, findings: _Findings, accounts: dict[int, _Account]) -> None:
        self._findings = findings
        self._accounts = accounts
        self.transactions = 0
        self.postings = 0
        self.moved: set[int] = set()
        """The house's accounts that moved since it was last emptied."""

    def enter(self, transaction: _Transaction) -> bytes:
        """Examine the next transaction and carry its postings; its part of the seal."""
        self.transactions += 1
        self.postings += len(transaction.postings)
        if not transaction.postings:
            self._findings.add(f"{transaction.name}: it has no postings")
        sums: dict[str, int] = {}
        lines: list[tuple[str, str, str, int]] = []
        for account_id, units, after, recorded_at in transaction.postings:
            account = self._accounts.get(account_id)
            if account is None:
                self._findings.add(f"{transaction.name}: it moves account {account_id}, which does not exist")
                continue
            sums[account.asset] = sums.get(account.asset, 0) + units
            lines.append((account.asset, account.purpose, account.owner, units))
            if recorded_at != transaction.recorded_at:
                self._findings.add(f"{transaction.name}: its posting to {account.name} has the time {recorded_at}")
            self._carry(transaction, account, units, after)
        for asset, units in sums.items():
            if units:
                self._findings.add(f"{transaction.name}: its postings of {asset} sum to {units}, not to zero")
        lines.sort()
        content = f"{transaction.kind}\n{transaction.reference}\n{transaction.reason or ''}" + "".join(
            f"\n{owner}\t{asset}\t{purpose}\t{units}" for asset, purpose, owner, units in lines
        )
        if hashlib.sha256(content.encode()).digest() != transaction.content_hash:
            self._findings.add(f"{transaction.name}: it is not what its content hash was made of")
        return transaction.leaf

    def _carry(self, transaction: _Transaction, account: _Account, units: int, after: int | None) -> None:
        """Each balance is held against the one before it as written, so that one wrong row is named once."""
        account.units += units
        account.last_at = transaction.recorded_at
        if not account.is_constrained:
            self.moved.add(account.id)
            if after is not None:
                self._findings.add(f"{transaction.name}: a balance stands beside its posting to {account.name}")
            return
        if after != account.after + units:
            self._findings.add(
                f"{transaction.name}: {account.name} had {account.after} and moved by {units}, "
                f"but {after} is said to be left"
            )
        if account.after + units < 0:
            self._findings.add(f"{transaction.name}: it leaves {account.name} below zero")
        account.after = account.after + units if after is None else after

    def units(self, account_id: int) -> int:
        account = self._accounts.get(account_id)
        return 0 if account is None else account.units

    def name(self, account_id: int) -> str:
        account = self._accounts.get(account_id)
        return f"account {account_id}, which does not exist" if account is None else account.name

    def close(self) -> None:
        """After the last transaction: every kept balance is what the postings say."""
        for account in self._accounts.values():
            if not account.is_constrained:
                if account.balance is not None:
                    self._findings.add(
                        f"{account.name}: it is kept as {account.balance}; the house's have no balance"
                    )
                continue
            if not account.balance == account.units == account.after:
                self._findings.add(
                    f"{account.name}: its balance is {account.balance}, its postings sum to {account.units}, "
                    f"the last one says {account.after}"
                )
            if account.moved_at != account.last_at:
                self._findings.add(
                    f"{account.name}: its last posting is of {account.last_at}, and {account.moved_at} is written"
                )


class _Chain:
    """The seals and the snapshots beside them, read in step with the transactions."""

    def __init__(
        self,
        findings: _Findings,
        books: _Books,
        seals: AsyncGenerator[Any, None],
        snapshots: AsyncGenerator[Any, None],
        expected: tuple[int, str] | None,
    ) -> None:
        self._findings = findings
        self._books = books
        self._seals = seals
        self._snapshots = snapshots
        self._expected = expected
        self._seal: Any = None
        self._snapshot: Any = None
        self._hash = b""
        self._number = 0
        self._sum = hashlib.sha256()
        self._count = 0
        self.until = datetime.max.replace(tzinfo=UTC)
        """Where the seal that is open ends; the end of time after the last."""
        self.sealed_until: datetime | None = None
        self.seals = 0
        self.snapshots = 0

    @property
    def anchor(self) -> str | None:
        return f"{self._number}:{self._hash.hex()}" if self.seals else None

    async def begin(self) -> None:
        self._snapshot = await anext(self._snapshots, None)
        await self._open_seal()

    def add(self, leaf: bytes) -> None:
        self._sum.update(leaf)
        self._count += 1

    async def close_seal(self) -> None:
        """The transactions have passed the end of the open seal: hold it against them, and open the next.

        The next is chained to this one as it stands in the database, so that one wrong seal is named once.
        """
        number, until, count, digest = self._seal
        name = f"seal {number} (until {until})"
        self.seals += 1
        if number != self._number + 1:
            self._findings.add(f"{name}: the one before it has the number {self._number}")
        if self.sealed_until is not None and until <= self.sealed_until:
            self._findings.add(f"{name}: the one before it ends at {self.sealed_until}")
        if count != self._count:
            self._findings.add(f"{name}: it closed {count} transactions, and there are {self._count}")
        if digest != self._sum.digest():
            self._findings.add(f"{name}: its hash is not that of its transactions and of the seal before it")
        if self._expected is not None and number == self._expected[0]:
            if digest.hex() != self._expected[1]:
                self._findings.add(f"{name}: its hash is not the one that was kept: the past was written anew")
            self._expected = None
        self._number, self._hash, self.sealed_until = number, digest, until
        await self._compare_snapshots(until)
        await self._open_seal()

    async def finish(self) -> None:
        """After the last transaction."""
        while self._seal is not None:
            await self.close_seal()
        while self._snapshot is not None:
            await self._pass_snapshot("no seal ends then")
        if self._expected is not None:
            self._findings.add(f"seal {self._expected[0]}: its hash was kept, and it is missing")

    async def _open_seal(self) -> None:
        self._seal = await anext(self._seals, None)
        self.until = datetime.max.replace(tzinfo=UTC) if self._seal is None else self._seal[1]
        self._sum = hashlib.sha256(self._hash)
        if self._seal is not None:
            self._sum.update(_microseconds(self.until))
        self._count = 0

    async def _compare_snapshots(self, until: datetime) -> None:
        """At the end of a seal there is one of each of the house's accounts that moved in it."""
        while self._snapshot is not None and self._snapshot[1] <= until:
            account_id, taken_at, balance = self._snapshot
            if taken_at != until:
                await self._pass_snapshot("no seal ends then")
            elif account_id not in self._books.moved:
                await self._pass_snapshot("it did not move in that seal, or is not the house's")
            else:
                self._books.moved.discard(account_id)
                units = self._books.units(account_id)
                await self._pass_snapshot("" if balance == units else f"it says {balance}, the postings {units}")
        for account_id in sorted(self._books.moved):
            self._findings.add(f"snapshot of {self._books.name(account_id)} at {until}: it is missing")
        self._books.moved.clear()

    async def _pass_snapshot(self, fault: str) -> None:
        self.snapshots += 1
        if fault:
            account_id, taken_at, _ = self._snapshot
            self._findings.add(f"snapshot of {self._books.name(account_id)} at {taken_at}: {fault}")
        self._snapshot = await anext(self._snapshots, None)


async def _accounts(conn: AsyncConnection) -> dict[int, _Account]:
    return {
        row[0]: _Account(
            row[0], row[1] or "", row[2], row[3], row[4], None if row[5] is None else int(row[5]), row[6]
        )
        for row in await conn.execute(_ACCOUNTS)
    }


async def _transactions(conn: AsyncConnection) -> AsyncGenerator[_Transaction, None]:
    """In the order of posting, each with its postings."""
    now: _Transaction | None = None
    async for row in _stream(conn, _TRANSACTIONS):
        if now is None or now.id != row[0]:
            if now is not None:
                yield now
            now = _Transaction(*row[:7])
        if row[7] is not None:
            after = row[9]
            now.postings.append((row[7], int(row[8]), None if after is None else int(after), row[10]))
    if now is not None:
        yield now


async def _stream(conn: AsyncConnection, statement: Any) -> AsyncGenerator[Any, None]:
    result = await conn.stream(statement)
    try:
        async for rows in result.partitions(_ROWS):
            for row in rows:
                yield row
    finally:
        await result.close()


def _microseconds(instant: datetime) -> bytes:
    since = instant - _EPOCH
    return struct.pack(">q", (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _parsed(anchor: str | None) -> tuple[int, str] | None:
    if anchor is None:
        return None
    match = _ANCHOR.fullmatch(anchor)
    if match is None:
        raise InvalidInput("an anchor is NUMBER:HASH, as a seal's log line has them", field="anchor")
    return int(match[1]), match[2].lower()
