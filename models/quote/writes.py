"""Keep a quote, and use it once."""

from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound, QuoteExpired, QuoteUsed
from models.quote.tables import quotes
from models.quote.types import Quote


async def add(conn: AsyncConnection, quote: Quote) -> None:
    row = {column.name: getattr(quote, column.name) for column in quotes.columns}
    await conn.execute(insert(quotes).values(row))


async def use(conn: AsyncConnection, *, quote_id: str, user_id: str, now: datetime) -> Quote:
    """Take the quote for a trade; the row is locked until the caller's transaction ends.

    :raises NotFound: no such quote of this user.
    :raises QuoteUsed: it made a trade before.
    :raises QuoteExpired: its time is over; ask for a new one.
    """
    statement = select(quotes).where(quotes.c.id == quote_id, quotes.c.user_id == user_id).with_for_update()
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("you have no quote with this id", field="quote_id")
    quote = Quote(**row._mapping)
    if quote.used_at is not None:
        raise QuoteUsed("ask for a new quote; each makes one trade", field="quote_id")
    if quote.expires_at <= now:
        raise QuoteExpired(f"it was valid until {quote.expires_at.isoformat()}; ask for a new one", field="quote_id")
    await conn.execute(update(quotes).where(quotes.c.id == quote_id).values(used_at=now))
    return quote
