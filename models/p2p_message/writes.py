"""Write to a trade's chat. Lines of one chat are numbered one after the other, under the lock of the trade's row."""

from datetime import datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IllegalTransition, NotFound, TooManyMessages
from models.ids import new_id
from models.p2p_message import queries
from models.p2p_message.messages import told
from models.p2p_message.tables import p2p_messages
from models.p2p_message.types import ChatRules, MessageKind, P2PMessage
from models.p2p_order.tables import p2p_orders
from models.p2p_trade.queries import trade as find_trade
from models.p2p_trade.types import P2PTrade
from models.secret_box import SecretBox
from models.user import writes as users

_MINUTE = 60.0


async def say(
    conn: AsyncConnection,
    box: SecretBox,
    trade_id: str,
    *,
    sender_id: str,
    text: str,
    rules: ChatRules,
    now: datetime,
) -> P2PMessage:
    """A party's message.

    :raises NotFound: there is no such trade, or it is not this user's.
    :raises IllegalTransition: the chat is closed.
    :raises TooManyMessages: the user wrote too many of late.
    """
    trade = await admit(conn, trade_id, sender_id, rules, now)
    return await append(conn, box, trade, MessageKind.TEXT, sender_id=sender_id, now=now, text=text)


async def greet(conn: AsyncConnection, box: SecretBox, trade_id: str, *, now: datetime) -> P2PMessage | None:
    """The maker's prepared words, as the first line of a trade's chat; None: there are none, or the chat has begun.

    To be called in the transaction that opens the trade.
    :raises NotFound: there is no such trade.
    """
    trade = await find_trade(conn, trade_id, lock=True)
    words = select(p2p_orders.c.auto_reply).where(p2p_orders.c.id == trade.order_id)
    text = str((await conn.execute(words)).scalar_one())
    if not text or await queries.last_number(conn, trade_id):
        return None
    return await append(conn, box, trade, MessageKind.AUTO_REPLY, sender_id=trade.maker_id, now=now, text=text)


async def admit(conn: AsyncConnection, trade_id: str, sender_id: str, rules: ChatRules, now: datetime) -> P2PTrade:
    """The trade, locked, if this user may write to its chat now. The errors are those of :func:`say`."""
    trade = await find_trade(conn, trade_id, lock=True)
    if trade.party(sender_id) is None:
        raise NotFound("there is no such trade", field="trade_id")
    if trade.ended_at is not None and now >= trade.ended_at + timedelta(seconds=rules.open_seconds):
        raise IllegalTransition("the trade is over, and its chat is closed")
    # After the trade, as whoever takes an order locks the taker last: lines in other chats count each other.
    await users.lock(conn, sender_id)
    if await queries.sent_since(conn, sender_id, now, seconds=_MINUTE) >= rules.most_per_minute:
        raise TooManyMessages(f"at most {rules.most_per_minute} messages and files in a minute; wait a little")
    return trade


async def append(
    conn: AsyncConnection,
    box: SecretBox,
    trade: P2PTrade,
    kind: MessageKind,
    *,
    sender_id: str,
    now: datetime,
    text: str = "",
    file_id: str | None = None,
) -> P2PMessage:
    """The next line. ``trade`` must be locked."""
    number = await queries.last_number(conn, trade.id) + 1
    message = P2PMessage(new_id(), trade.id, number, kind, sender_id, now, text)
    await conn.execute(
        insert(p2p_messages).values(
            id=message.id,
            trade_id=trade.id,
            number=number,
            kind=kind,
            sender_id=sender_id,
            text_sealed=None if file_id is not None else box.seal(text, place=queries.place(message.id)),
            file_id=file_id,
            at=now,
        )
    )
    await told(conn, trade, message)
    return message
