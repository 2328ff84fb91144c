"""Endpoints as their owners make, change and remove them, and as failures disable them."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, null, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import LimitExceeded
from models.event import queries as events
from models.event.types import EventKind, notification
from models.event.writes import tell
from models.ids import new_id
from models.secret_box import SecretBox
from models.user import writes as users
from models.webhook_endpoint import queries
from models.webhook_endpoint.tables import webhook_endpoints
from models.webhook_endpoint.types import DisabledReason, WebhookEndpoint

MOST = 10
"""Of one user."""
SECRET_BYTES = 32
OLD_SECRET_VALID = timedelta(hours=24)
_W = webhook_endpoints.c


async def add(
    conn: AsyncConnection, box: SecretBox, *, user_id: str, url: str, kinds: Sequence[EventKind], description: str
) -> tuple[WebhookEndpoint, str]:
    """The endpoint, and its secret in clear, which is never shown again. It is told of events from now on.

    :raises LimitExceeded: the user has too many.
    """
    await users.lock(conn, user_id)
    if len(await queries.of_user(conn, user_id)) >= MOST:
        raise LimitExceeded(f"you have {MOST} webhook endpoints already; remove one")
    endpoint_id, secret = new_id(), _new_secret()
    row = {
        "id": endpoint_id,
        "user_id": user_id,
        "url": url,
        "kinds": sorted(set(kinds)),
        "description": description,
        "secret_sealed": box.seal(secret, place=queries.place(endpoint_id)),
        "after_event": await events.last(conn),
    }
    await conn.execute(insert(webhook_endpoints).values(row))
    return await queries.endpoint(conn, endpoint_id), secret


async def change(conn: AsyncConnection, endpoint_id: str, *, user_id: str, **columns: Any) -> WebhookEndpoint:
    """``columns``: of ``url``, ``kinds`` and ``description``.

    :raises NotFound: none, or somebody else's.
    """
    await queries.endpoint(conn, endpoint_id, user_id=user_id, lock=True)
    return await _write(conn, endpoint_id, **columns)


async def switch(conn: AsyncConnection, endpoint_id: str, *, user_id: str, is_enabled: bool) -> WebhookEndpoint:
    """Switched on, it begins anew: what happened while it was off, it is not told.

    :raises NotFound: none, or somebody else's.
    """
    found = await queries.endpoint(conn, endpoint_id, user_id=user_id, lock=True)
    if is_enabled and found.disabled_at is not None:
        return await _write(
            conn,
            endpoint_id,
            disabled_at=None,
            disabled_reason=None,
            failing_since=None,
            after_event=await events.last(conn),
        )
    if not is_enabled and found.disabled_at is None:
        return await _write(
            conn, endpoint_id, disabled_at=func.now(), disabled_reason=DisabledReason.BY_USER, failing_since=None
        )
    return found


async def rotate(
    conn: AsyncConnection, box: SecretBox, endpoint_id: str, *, user_id: str, now: datetime
) -> tuple[WebhookEndpoint, str]:
    """A new secret, in clear; the one before signs as well for 24 hours more.

    :raises NotFound: none, or somebody else's.
    """
    await queries.endpoint(conn, endpoint_id, user_id=user_id, lock=True)
    secret = _new_secret()
    found = await _write(
        conn,
        endpoint_id,
        old_secret_sealed=_W.secret_sealed,
        old_secret_until=now + OLD_SECRET_VALID,
        secret_sealed=box.seal(secret, place=queries.place(endpoint_id)),
    )
    return found, secret


async def remove(conn: AsyncConnection, endpoint_id: str, *, user_id: str) -> None:
    """Nothing is sent there any more; its secrets are forgotten, its log stays.

    :raises NotFound: none, or somebody else's.
    """
    await queries.endpoint(conn, endpoint_id, user_id=user_id, lock=True)
    forgotten = {"secret_sealed": b"", "old_secret_sealed": null(), "old_secret_until": null()}
    await conn.execute(
        update(webhook_endpoints).where(_W.id == endpoint_id).values(removed_at=func.now(), **forgotten)
    )


async def note(
    conn: AsyncConnection, endpoint_id: str, *, is_taken: bool, now: datetime, disable_after: timedelta
) -> None:
    """An attempt's end. One that has taken nothing for so long is disabled, and its owner told."""
    if is_taken:
        well = _W.id == endpoint_id, _W.failing_since.is_not(None)
        await conn.execute(update(webhook_endpoints).where(*well).values(failing_since=None))
        return
    statement = (
        update(webhook_endpoints)
        .where(_W.id == endpoint_id, _W.disabled_at.is_(None), _W.removed_at.is_(None))
        .values(failing_since=func.coalesce(_W.failing_since, now))
        .returning(_W.failing_since)
    )
    since = (await conn.execute(statement)).scalar_one_or_none()
    if since is not None and now - since >= disable_after:
        await disable(conn, endpoint_id, DisabledReason.FAILING)


async def disable(conn: AsyncConnection, endpoint_id: str, reason: DisabledReason) -> None:
    """Once; a disabled or removed one stays as it is."""
    statement = (
        update(webhook_endpoints)
        .where(_W.id == endpoint_id, _W.disabled_at.is_(None), _W.removed_at.is_(None))
        .values(disabled_at=func.now(), disabled_reason=reason, updated_at=func.now())
        .returning(_W.user_id)
    )
    user_id = (await conn.execute(statement)).scalar_one_or_none()
    if user_id is not None:
        await tell(conn, notification(user_id, code=f"webhook_{reason}", about=endpoint_id, text=_SENTENCES[reason]))


async def _write(conn: AsyncConnection, endpoint_id: str, **columns: Any) -> WebhookEndpoint:
    statement = update(webhook_endpoints).where(_W.id == endpoint_id).values(updated_at=func.now(), **columns)
    row = (await conn.execute(statement.returning(*queries.COLUMNS))).one()
    return WebhookEndpoint(**row._mapping)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


_SENTENCES = {
    DisabledReason.GONE: "A webhook endpoint answered that it is gone, and was disabled.",
    DisabledReason.FAILING: "A webhook endpoint took nothing for days, and was disabled.",
}
