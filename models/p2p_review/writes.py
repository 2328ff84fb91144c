"""Review the other side of a completed trade, and reply to a review; each once."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IllegalTransition, NotFound
from models.ids import new_id
from models.p2p_review.tables import p2p_reviews
from models.p2p_review.types import Review
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.tables import p2p_trades

_R = p2p_reviews.c
_T = p2p_trades.c


async def add(conn: AsyncConnection, *, trade_id: str, author_id: str, stars: int, comment: str) -> Review:
    """:raises NotFound: no such trade of the author's.
    :raises IllegalTransition: it is not completed, or the author has reviewed it.
    """
    trade = (
        await conn.execute(
            select(_T.seller_id, _T.buyer_id, _T.status).where(
                _T.id == trade_id, (_T.seller_id == author_id) | (_T.buyer_id == author_id)
            )
        )
    ).first()
    if trade is None:
        raise NotFound("there is no such trade", field="trade_id")
    if trade.status != P2PTradeStatus.COMPLETED:
        raise IllegalTransition(f"a trade is reviewed once it is completed; this one is {trade.status}")
    subject = trade.buyer_id if author_id == trade.seller_id else trade.seller_id
    values = {"trade_id": trade_id, "author_id": author_id, "subject_id": subject, "stars": stars, "comment": comment}
    row = insert(p2p_reviews).values(id=new_id(), **values).on_conflict_do_nothing().returning(p2p_reviews)
    kept = (await conn.execute(row)).first()
    if kept is None:
        raise IllegalTransition("you have reviewed this trade")
    return Review(**kept._mapping)


async def reply(conn: AsyncConnection, *, review_id: str, user_id: str, words: str, now: datetime) -> Review:
    """:raises NotFound: no such review of this user.
    :raises IllegalTransition: there is a reply.
    """
    own = (_R.id == review_id) & (_R.subject_id == user_id)
    said = update(p2p_reviews).where(own, _R.reply.is_(None)).values(reply=words, replied_at=now)
    row = (await conn.execute(said.returning(p2p_reviews))).first()
    if row is None:
        if (await conn.execute(select(_R.id).where(own))).first() is None:
            raise NotFound("there is no such review of you", field="review_id")
        raise IllegalTransition("you have replied to this review")
    return Review(**row._mapping)
