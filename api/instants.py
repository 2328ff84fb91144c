"""Times that callers ask about: an instant in UTC, or a date, which is its first instant; and days of the bank's."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import Query

from models.errors import InvalidInput

_FORM = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+]00:00))?$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_YEARS = range(2000, 2200)

_WORDS = "in UTC: an instant (`2026-01-05T12:00:00Z`), or a date, which is its first instant"


def _query(name: str, words: str, example: str) -> Any:
    return Query(alias=name, pattern=_FORM, description=f"{_WORDS}; {words}", examples=[example])


Since = Annotated[str, _query("from", "included", "2026-01-01")]
Until = Annotated[str, _query("to", "not included", "2026-02-01")]
SinceIfAny = Annotated[str | None, _query("from", "included", "2026-01-01")]
UntilIfAny = Annotated[str | None, _query("to", "not included", "2026-02-01")]


def _day_query(name: str, words: str, example: str) -> Any:
    words = f"in the bank's time (America/Sao_Paulo); {words}"
    return Query(
        alias=name, pattern=_DAY, description=words, examples=[example], json_schema_extra={"format": "date"}
    )


DayIfAny = Annotated[str | None, _day_query("day", "of the line, or else of the movement", "2026-01-05")]
FirstDayIfAny = Annotated[str | None, _day_query("from", "included; left out: 31 days before `to`", "2026-01-01")]
LastDayIfAny = Annotated[str | None, _day_query("to", "not included; left out: after today", "2026-02-01")]


def bank_date(text: str | None, field: str) -> date | None:
    """:raises InvalidInput: there is no such day."""
    found = _instant(text, field)
    return None if found is None else found.date()


def interval(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Both ends, each where given.

    :raises InvalidInput: not a time, or an interval that ends before it begins.
    """
    start, end = _instant(since, "from"), _instant(until, "to")
    if start is not None and end is not None and start >= end:
        raise InvalidInput("`to` must be later than `from`", field="to")
    return start, end


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("there is no such date or time", field=field) from None
    if found.year not in _YEARS:
        raise InvalidInput(f"must be a year from {_YEARS.start} to {_YEARS.stop - 1}", field=field)
    return found.replace(tzinfo=UTC)
