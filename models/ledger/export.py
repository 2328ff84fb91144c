"""The whole ledger as a beancount journal, so that a program which is not ours can prove it.

Beancount itself adds up the postings and compares them with the balances that the database keeps: each account is
asserted, to the last base unit, on the day after the last transaction. Its sign is the opposite of ours.

Users appear by id, and what a person wrote as a reason is left out: a journal is given to others.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
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

    A symbol is mostly in capitals, a network in small letters; a letter of the other case follows an apostrophe.
    Any other sign becomes an apostrophe, the count of its hexadecimal digits, and these.

    :param asset: ``<symbol>.<network>``, or ``BRL``.
    """
    symbol, dot, network = asset.partition(".")
    name = _written(symbol, str.upper) + dot + _written(network, str.lower)
    return name if "A" <= name[0] <= "Z" else _MARK + name


def asset_of(commodity: str) -> str:
    """The asset's id that :func:`commodity` was given."""
    symbol, dot, network = commodity.removeprefix(_MARK).partition(".")
    return _read(symbol, str.upper) + dot + _read(network, str.lower)


def quoted(words: str) -> str:
    return '"' + "".join(_ESCAPES.get(sign, sign) for sign in words) + '"'


def _written(words: str, usual: Callable[[str], str]) -> str:
    signs = []
    for sign in words:
        if not sign.isascii() or not sign.isalnum():
            signs.append(f"'{len(f'{ord(sign):X}')}{ord(sign):X}")
        else:
            signs.append(sign.upper() if sign == usual(sign) else f"'{sign.upper()}")
    return "".join(signs)


def _read(name: str, usual: Callable[[str], str]) -> str:
    signs, rest = [], iter(name)
    for sign in rest:
        if sign != "'":
            signs.append(usual(sign))
            continue
        mark = next(rest)
        signs.append(chr(int("".join(islice(rest, int(mark))), 16)) if mark.isdigit() else usual(mark).swapcase())
    return "".join(signs)


def _component(words: str) -> str:
    """Beancount's names are of letters, digits and hyphens, and begin with a capital."""
    return "-".join(word[0].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", words))


def _number(units: int, asset: str, decimals: Mapping[str, int]) -> str:
    if len(str(abs(units))) > DIGITS_MAX:
        raise Refused(f"an amount of {asset} has more than {DIGITS_MAX} digits: beancount cannot count it")
    return units_text(-units, decimals[asset])


async def _rows(conn: AsyncConnection, statement: TextClause) -> AsyncIterator[Any]:
    async for row in await conn.stream(statement, execution_options={"yield_per": _AT_ONCE}):
        yield row


_PERIOD = text("SELECT coalesce(min(recorded_at), now()), coalesce(max(recorded_at), now()) FROM ledger_transactions")
_ACCOUNTS = text("""
SELECT owner, purpose, array_agg(asset_id ORDER BY asset_id) AS assets
    FROM ledger_accounts GROUP BY owner, purpose ORDER BY owner NULLS FIRST, purpose
""")
_TRANSACTIONS = text("""
SELECT t.id, t.key, t.kind, t.reference, t.recorded_at, p.assets, p.purposes, p.owners, p.amounts
    FROM ledger_transactions AS t
    CROSS JOIN LATERAL (
        SELECT array_agg(a.asset_id ORDER BY a.id) AS assets, array_agg(a.purpose ORDER BY a.id) AS purposes,
               array_agg(a.owner ORDER BY a.id) AS owners, array_agg(p.amount ORDER BY a.id) AS amounts
            FROM ledger_postings AS p JOIN ledger_accounts AS a ON a.id = p.account_id
            WHERE p.transaction_id = t.id
    ) AS p
    ORDER BY t.recorded_at, t.id
""")
_BALANCES = text("""
SELECT asset_id, purpose, owner, coalesce(balance, ledger_balance_at(id, 'infinity')) AS units
    FROM ledger_accounts ORDER BY owner NULLS FIRST, purpose, asset_id
""")
"""As the database keeps them: a user's beside the account, the house's as a snapshot and the postings since."""
