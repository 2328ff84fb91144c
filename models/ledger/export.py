"""The whole ledger as a beancount journal, so that a program which is not ours can prove it.

Beancount itself adds up the postings and compares them with the balances that the database keeps: each account is
asserted, to the last base unit, on the day after the last transaction. Its sign is the opposite of ours.

Users appear by id, and what a person wrote as a reason is left out: a journal is given to others.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic.dataclasses import dataclass
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Refused
from models.ledger.chart import Account, Purpose
from models.money import Units, units_text
from models.network.queries import decimals as all_decimals

DIGITS_MAX = 28
"""Beancount counts with Python's default context, which rounds beyond that without a word."""

HOUSE_ACCOUNTS: Mapping[str, str] = {
    Purpose.DESK: "Equity:Desk",
    Purpose.FEES: "Income:Fees",
    Purpose.NETWORK_FEES: "Expenses:Network-Fees",
    Purpose.PIX_CLEARING: "Assets:Pix-Clearing",
    Purpose.SUSPENSE: "Liabilities:Suspense",
}
_CUSTODY = "custody:"
_AT_ONCE = 1_000
_MARK = "X'0"
_ESCAPED = re.compile(r"'([1-6A-Z])")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One ledger transaction with its postings, in our sign."""

    id: int
    key: str
    kind: str
    reference: str
    recorded_at: datetime
    postings: Sequence[tuple[Account, Units]]


async def journal(conn: AsyncConnection) -> AsyncIterator[str]:
    """The journal's lines, without line ends, in constant memory.

    ``conn`` must read one snapshot (REPEATABLE READ), or later postings would contradict earlier lines.
    :raises Refused: an amount has more digits than beancount counts with.
    """
    decimals = await all_decimals(conn)
    first, last = (await conn.execute(_PERIOD)).one()
    for line in head(decimals, first.astimezone(UTC).date()):
        yield line
    async for row in _rows(conn, _ACCOUNTS):
        yield open_line(first.astimezone(UTC).date(), row.owner, row.purpose, row.assets)
    async for row in _rows(conn, _TRANSACTIONS):
        accounts = map(Account, row.assets or (), row.purposes or (), row.owners or ())
        postings = tuple(zip(accounts, map(int, row.amounts or ()), strict=True))
        entry = Entry(row.id, row.key, row.kind, row.reference, row.recorded_at, postings)
        for line in transaction_lines(entry, decimals):
            yield line
    yield ""
    day = last.astimezone(UTC).date() + timedelta(days=1)
    async for row in _rows(conn, _BALANCES):
        yield balance_line(day, Account(row.asset_id, row.purpose, row.owner), int(row.units), decimals)


def head(decimals: Mapping[str, int], day: date) -> Iterator[str]:
    """Options, and each commodity with the asset it stands for."""
    yield 'option "title" "Liquida"'
    yield 'option "tolerance_multiplier" "0"'
    yield ""
    for asset in sorted(decimals):
        yield f"{day} commodity {commodity(asset)}"
        yield f"  asset: {quoted(asset)}"
    yield ""


def open_line(day: date, owner: str | None, purpose: str, assets: Sequence[str]) -> str:
    commodities = ",".join(commodity(asset) for asset in assets)
    return f"{day} open {account_name(purpose, owner)} {commodities}"


def transaction_lines(entry: Entry, decimals: Mapping[str, int]) -> Iterator[str]:
    """One transaction, after an empty line, on its day in UTC.

    :raises Refused: see :func:`journal`.
    """
    moment = entry.recorded_at.astimezone(UTC)
    yield ""
    yield f"{moment.date()} * {quoted(entry.kind)}"
    yield f"  id: {quoted(str(entry.id))}"
    yield f"  key: {quoted(entry.key)}"
    yield f"  kind: {quoted(entry.kind)}"
    yield f"  reference: {quoted(entry.reference)}"
    yield f"  recorded: {quoted(moment.isoformat(timespec='microseconds'))}"
    for account, units in entry.postings:
        number = _number(units, account.asset, decimals)
        yield f"  {account_name(account.purpose, account.owner)}  {number} {commodity(account.asset)}"


def balance_line(day: date, account: Account, units: int, decimals: Mapping[str, int]) -> str:
    """The balance at the beginning of ``day``; with no tolerance, which would else be one base unit.

    :raises Refused: see :func:`journal`.
    """
    number = _number(units, account.asset, decimals)
    return f"{day} balance {account_name(account.purpose, account.owner)}  {number} ~ 0 {commodity(account.asset)}"


def account_name(purpose: str, owner: str | None) -> str:
    """``Liabilities:Users:U-<id>:Held``, ``Assets:Custody:Ethereum``, ``Equity:Desk``."""
    if owner is not None:
        return f"Liabilities:Users:U-{owner}:{_component(purpose)}"
    if purpose.startswith(_CUSTODY):
        return f"Assets:Custody:{_component(purpose.removeprefix(_CUSTODY))}"
    return HOUSE_ACCOUNTS.get(purpose) or f"Equity:{_component(purpose)}"


def commodity(asset: str) -> str:
    """``USDT.ethereum`` as beancount can write it: ``USDT.ETHEREUM``. :func:`asset_of` is its inverse.

    A symbol is usually in capitals and a network in small letters. A letter in the other case follows an
    apostrophe; any other sign becomes an apostrophe, the number of its hexadecimal digits, and these.
    """
    symbol, dot, network = asset.partition(".")
    name = "".join(_sign(sign, str.upper) for sign in symbol) + dot
    name += "".join(_sign(sign, str.lower) for sign in network)
    return name if "A" <= name[0] <= "Z" and dot and network or asset == "BRL" else _MARK + name


def asset_of(commodity: str) -> str:
    """The asset's id that :func:`commodity` was given."""
    symbol, dot, network = commodity.removeprefix(_MARK).partition(".")
    return _read(symbol, str.upper) + dot + _read(network, str.lower)


def quoted(words: str) -> str:
    return '"' + "".join(_ESCAPES.get(sign, sign) for sign in words) + '"'
