"""How a user's balances came to be what they are: line by line, or as a statement that ties."""

import csv
import io
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api import pagination
from api.auth import Caller
from api.deps import Deps
from api.instants import Since, SinceIfAny, Until, UntilIfAny, interval
from api.problems import problems
from api.wallets import LineView, NetworkId, Owner, Symbol, line_view, matching, one_asset
from models.errors import Forbidden, InvalidInput, LimitExceeded, NotFound, UnknownAsset, UnknownNetwork
from models.ledger import history
from models.ledger.history import Balance, Place
from models.ledger.types import Operation
from models.money import units_text
from models.network import queries as networks

router = APIRouter(prefix="/api/v1/wallet", tags=["wallet"])

STATEMENT_DAYS_MOST = 366
CSV = "text/csv"
_NUMBER_MOST = 2**62
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "at",
    "operation",
    "kind",
    "amount",
    "available_before",
    "available_after",
    "locked_before",
    "locked_after",
    "reference",
    "reason",
)


class HistoryPage(BaseModel):
    lines: list[LineView] = Field(description="newest first")
    next_cursor: str | None = Field(
        description="pass it back for the lines that follow, of which there may be some although this page is short; "
        "null at the end"
    )


class PocketsView(BaseModel):
    """``total = available + locked``."""

    available: str = Field(examples=["1.250000000000000000"])
    locked: str = Field(examples=["0.500000000000000000"])
    total: str = Field(examples=["1.750000000000000000"])


class StatementView(BaseModel):
    """``closing`` is ``opening`` and what the lines moved, in each of available and locked."""

    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    since: datetime = Field(serialization_alias="from", description="included")
    until: datetime = Field(serialization_alias="to", description="not included")
    opening: PocketsView
    lines: list[LineView] = Field(description="oldest first")
    closing: PocketsView


_READS = problems(InvalidInput, UnknownAsset, UnknownNetwork, Forbidden, NotFound)
_STATEMENT: dict[int | str, dict[str, Any]] = {
    200: {
        "model": StatementView,
        "description": "The statement",
        "content": {CSV: {"schema": {"type": "string"}, "example": ",".join(_COLUMNS)}},
    }
}


@router.get("/history", responses=_READS)
async def lines(
    services: Deps,
    caller: Caller,
    owner: Owner,
    symbol: Annotated[str | None, Query(alias="asset", max_length=32, examples=["ETH"])] = None,
    network: Annotated[str | None, Query(max_length=32, examples=["ethereum"])] = None,
    operation: Operation | None = None,
    since: SinceIfAny = None,
    until: UntilIfAny = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> HistoryPage:
    """Every movement of the available and the locked balance, newest first, with what it left of each.

    Of one `operation`, a page looks through at most 1,000 movements, so it may be short: go on to its `next_cursor`.
    """
    start, end = interval(since, until)
    before = _place(cursor)
    async with services.engine.connect() as conn:
        decimals = await networks.decimals(conn)
        assets = None if symbol is network is None else matching(decimals, symbol, network)
        page = await history.page(
            conn,
            owner,
            limit=limit,
            assets=assets,
            operation=operation,
            since=start,
            until=end,
            before=before,
        )
    return HistoryPage(
        lines=[line_view(line, decimals[line.asset_id], caller) for line in page.lines],
        next_cursor=_cursor(page.following),
    )


@router.get(
    "/statement",
    response_model=StatementView,
    responses={
        **_STATEMENT,
        **problems(InvalidInput, UnknownAsset, UnknownNetwork, LimitExceeded, Forbidden, NotFound),
    },
)
async def statement(
    request: Request,
    services: Deps,
    caller: Caller,
    owner: Owner,
    since: Since,
    until: Until,
    symbol: Symbol,
    network: NetworkId = None,
    form: Annotated[
        Literal["json", "csv"] | None, Query(alias="format", description="stronger than the header `Accept`")
    ] = None,
) -> Any:
    """One asset over at most 366 days and 10,000 movements: opening balance, every movement, closing balance.

    As JSON, or as CSV with `Accept: text/csv` or `format=csv`. In CSV a text that a spreadsheet would take for a
    formula begins with an apostrophe.
    """
    start, end = interval(since, until)
    assert start is not None
    assert end is not None
    if end - start > timedelta(days=STATEMENT_DAYS_MOST):
        raise LimitExceeded(f"a statement covers at most {STATEMENT_DAYS_MOST} days", field="to")
    async with services.engine.connect() as conn:
        asset = await one_asset(conn, symbol, network)
    found = await history.statement(services.engine, owner, asset.id, since=start, until=end)
    view = StatementView(
        asset=asset.symbol,
        network=asset.network,
        since=start,
        until=end,
        opening=_pockets(found.opening, asset.decimals),
        lines=[line_view(line, asset.decimals, caller) for line in found.lines],
        closing=_pockets(found.closing, asset.decimals),
    )
    if form == "csv" or (form is None and _prefers_csv(request.headers.get("accept", ""))):
        name = f"statement-{asset.id}-{start:%Y%m%dT%H%M%SZ}-{end:%Y%m%dT%H%M%SZ}.csv"
        return Response(_csv(view), media_type=CSV, headers={"Content-Disposition": f'attachment; filename="{name}"'})
    return view


def _csv(view: StatementView) -> str:
    """RFC 4180: a head, the opening balance, the lines, the closing balance."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerow(_balance_row(view.since, "opening_balance", view.opening))
    for line in view.lines:
        shown = line.model_dump(mode="json")
        texts = {name: _cell(shown[name]) for name in ("reference", "reason")}
        writer.writerow([{**shown, **texts}[name] for name in _COLUMNS])
    writer.writerow(_balance_row(view.until, "closing_balance", view.closing))
    return text.getvalue()


def _balance_row(at: datetime, name: str, pockets: PocketsView) -> list[str]:
    shown = {
        "at": at.isoformat().replace("+00:00", "Z"),
        "operation": name,
        "available_after": pockets.available,
        "locked_after": pockets.locked,
    }
    return [shown.get(column, "") for column in _COLUMNS]


def _cell(words: str | None) -> str:
    """A spreadsheet runs what looks like a formula, even in quotes; after an apostrophe it is text."""
    return f"'{words}" if words and words.startswith(_FORMULA) else words or ""


def _prefers_csv(accept: str) -> bool:
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return CSV in kinds and "application/json" not in kinds


def _pockets(balance: Balance, decimals: int) -> PocketsView:
    return PocketsView(
        available=units_text(balance.available_units, decimals),
        locked=units_text(balance.locked_units, decimals),
        total=units_text(balance.total_units, decimals),
    )


def _cursor(place: Place | None) -> str | None:
    """A cursor's id is 32 hexadecimal digits: here two numbers."""
    if place is None:
        return None
    return pagination.encode((place.recorded_at, f"{place.transaction_id:016x}{place.account_id:016x}"))


def _place(cursor: str | None) -> Place | None:
    """:raises InvalidInput: not a cursor that we gave out."""
    found = pagination.decode(cursor)
    if found is None:
        return None
    at, numbers = found
    transaction_id, account_id = int(numbers[:16], 16), int(numbers[16:], 16)
    if max(transaction_id, account_id) >= _NUMBER_MOST:
        raise InvalidInput("this cursor is of another list", field="cursor")
    return Place(at, transaction_id, account_id)
