"""Reads of webhook endpoints. A removed one is not there."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.secret_box import SecretBox
from models.webhook_endpoint.tables import webhook_endpoints
from models.webhook_endpoint.types import WebhookEndpoint

_W = webhook_endpoints.c
COLUMNS = tuple(column for column in _W if column.name in WebhookEndpoint.__dataclass_fields__)


def place(endpoint_id: str) -> str:
    """Where its secrets are sealed for."""
    return f"webhook_endpoints/{endpoint_id}/secret"


async def endpoint(
    conn: AsyncConnection, endpoint_id: str, *, user_id: str | None = None, lock: bool = False
) -> WebhookEndpoint:
    """One endpoint; with ``user_id``, only if it is that user's.

    :raises NotFound: none, removed, or somebody else's.
    """
    statement = select(*COLUMNS).where(_W.id == endpoint_id, _W.removed_at.is_(None))
    if user_id is not None:
        statement = statement.where(_W.user_id == user_id)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    if row is None:
        raise NotFound("there is no such webhook endpoint", field="endpoint_id")
    return WebhookEndpoint(**row._mapping)


async def of_user(conn: AsyncConnection, user_id: str) -> list[WebhookEndpoint]:
    """Oldest first."""
    statement = select(*COLUMNS).where(_W.user_id == user_id, _W.removed_at.is_(None))
    found = await conn.execute(statement.order_by(_W.created_at, _W.id))
    return [WebhookEndpoint(**row._mapping) for row in found]


async def secrets(conn: AsyncConnection, box: SecretBox, endpoint_id: str, *, now: datetime) -> list[str]:
    """What signs a message now: the secret, and for a while the one before.

    :raises SealBroken: sealed with another key.
    """
    statement = select(_W.secret_sealed, _W.old_secret_sealed, _W.old_secret_until).where(_W.id == endpoint_id)
    row = (await conn.execute(statement)).one()
    found = [box.open(row.secret_sealed, place=place(endpoint_id))]
    if row.old_secret_until is not None and row.old_secret_until > now:
        found.append(box.open(row.old_secret_sealed, place=place(endpoint_id)))
    return found
