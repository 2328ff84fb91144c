"""Reads of attachments. Their bytes are read one file at a time."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.p2p_file.tables import p2p_files
from models.p2p_file.types import MediaType, Opened, P2PFile
from models.secret_box import SecretBox

_F = p2p_files.c
_COLUMNS = (_F.id, _F.trade_id, _F.user_id, _F.media_type, _F.size_bytes, _F.sha256, _F.at)


def place(file_id: str) -> str:
    """Where a sealed file opens."""
    return f"p2p_files/{file_id}/body"


async def of_trade(conn: AsyncConnection, trade_id: str) -> list[P2PFile]:
    """Oldest first, without their bytes."""
    statement = select(*_COLUMNS).where(_F.trade_id == trade_id).order_by(_F.at, _F.id)
    return [_file(row) for row in await conn.execute(statement)]


async def count(conn: AsyncConnection, trade_id: str) -> int:
    statement = select(func.count()).select_from(p2p_files).where(_F.trade_id == trade_id)
    return int((await conn.execute(statement)).scalar_one())


async def require_all(conn: AsyncConnection, trade_id: str, file_ids: Iterable[str]) -> None:
    """:raises NotFound: one of them is no file of this trade."""
    wanted = set(file_ids)
    statement = select(_F.id).where(_F.trade_id == trade_id, _F.id.in_(wanted))
    if wanted != set((await conn.execute(statement)).scalars()):
        raise NotFound("there is no such file in this trade", field="file_ids")


async def opened(conn: AsyncConnection, box: SecretBox, trade_id: str, file_id: str) -> Opened:
    """One file with its clear bytes.

    :raises NotFound: this trade has no such file.
    :raises SealBroken: it does not open with this key.
    """
    statement = select(*_COLUMNS, _F.body_sealed).where(_F.id == file_id, _F.trade_id == trade_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("there is no such file", field="file_id")
    return Opened(_file(row), box.open_bytes(row.body_sealed, place=place(file_id)))


def _file(row: Any) -> P2PFile:
    return P2PFile(
        row.id, row.trade_id, row.user_id, MediaType(row.media_type), row.size_bytes, row.sha256.hex(), row.at
    )
