"""Lists that Woovi gives in pages of a hundred, read to their end."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, date, datetime

from pydantic import RootModel

from models.errors import PayoutUnknown
from payments.protocol import StatementLine
from payments.woovi.answers import StatementEntry, Transaction, TransactionPage, bounds
from payments.woovi.client import WooviClient

PAGE = 100
PAGES_MOST = 1_000


class _Entries(RootModel[list[StatementEntry]]):
    """The statement is a bare list: its last page is the one that is not full."""


async def transactions(client: WooviClient, filters: Mapping[str, str]) -> list[Transaction]:
    """Every transaction that passes the filters.

    :raises PayoutUnknown: no answer, or no end.
    """
    found: list[Transaction] = []
    for number in range(PAGES_MOST):
        page = (await client.call("GET", "/api/v1/transaction", params={**filters, **_page(number)})).read(
            TransactionPage
        )
        found += page.transactions
        if not page.page.has_next:
            return found
        if not page.transactions:
            break
    raise PayoutUnknown("the provider's list has no end")


async def statement(client: WooviClient, day: date) -> list[StatementLine]:
    """All lines of one day (America/Sao_Paulo), oldest first.

    A line names its transaction by Woovi's own id; the transactions of the day give the end-to-end id.

    :raises PayoutUnknown: no answer, or no end.
    """
    first, after = bounds(day)
    window = {"start": _utc(first), "end": _utc(after)}
    entries = [entry for entry in await _entries(client, window) if first <= entry.time < after]
    known = _by_id(await transactions(client, window)) if any(entry.transaction_id for entry in entries) else {}
    return [
        _line(entry, known.get(entry.transaction_id or ""))
        for entry in sorted(entries, key=lambda entry: (entry.time, entry.id))
    ]


async def _entries(client: WooviClient, window: Mapping[str, str]) -> list[StatementEntry]:
    """A day that is still growing may shift between two pages: an entry seen twice is one."""
    found: dict[str, StatementEntry] = {}
    for number in range(PAGES_MOST):
        page = (await client.call("GET", "/api/v1/statement", params={**window, **_page(number)})).read(_Entries).root
        before = len(found)
        found |= {entry.id: entry for entry in page}
        if len(page) < PAGE:
            return list(found.values())
        if len(found) == before:
            break
    raise PayoutUnknown("the provider's list has no end")


def _page(number: int) -> dict[str, str]:
    return {"skip": str(number * PAGE), "limit": str(PAGE)}


def _line(entry: StatementEntry, transaction: Transaction | None) -> StatementLine:
    return StatementLine(
        id=entry.id,
        key=transaction.charge.key if transaction and transaction.charge else None,
        end_to_end_id=transaction.end_to_end_id if transaction else None,
        amount_centavos=entry.value if entry.type == "CREDIT" else -entry.value,
        time=entry.time,
    )


def _by_id(found: list[Transaction]) -> dict[str, Transaction]:
    return {name: transaction for transaction in found for name in _names(transaction)}


def _names(transaction: Transaction) -> set[str]:
    """``globalID`` is ``PixTransaction:<id>`` in base64; a line may name the id, its whole or the end-to-end id."""
    names = {name for name in (transaction.end_to_end_id, transaction.global_id) if name}
    try:
        decoded = base64.b64decode(transaction.global_id or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return names
    return names | ({decoded.rpartition(":")[2]} if ":" in decoded else set())


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
