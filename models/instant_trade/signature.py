"""The door between the books and custody: an order that was not signed yet can still be taken back."""

from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IllegalTransition
from models.transfer import queries, writes
from models.transfer.states import TransferStatus


async def refuse(conn: AsyncConnection, key: str, reason: str) -> None:
    """:raises IllegalTransition: custody was faster."""
    intent = await queries.transfer(conn, key, lock=True)
    if intent.status is not TransferStatus.INTENDED:
        raise IllegalTransition("the transfer has just been signed; the trade goes on")
    await writes.reject(conn, intent, reason)
