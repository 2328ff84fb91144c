"""Movements that a person orders by hand; all others belong to a flow."""

from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move


async def adjust(
    conn: AsyncConnection, *, operation: str, operator_id: str, user_id: str, asset_id: str, units: int, reason: str
) -> None:
    """Give a user ``units`` from the house's desk, once for each ``operation`` of an operator.

    :raises OperationKeyReused: the operation was another one before.
    """
    reference = f"operator/{operator_id}"
    source, target = house(Purpose.DESK, asset_id), available(user_id, asset_id)
    key = f"{reference}/{operation}"
    await post(conn, move(key, Kind.ADJUSTMENT, reference, source, target, units, reason=reason))
