"""Make an evidence pack and hand it out, without holding all of it in memory."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import IO, Any

from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.background import BackgroundTask

from api.deps import Services
from models.errors import EvidenceUnavailable
from models.evidence_pack.chain import chained
from models.evidence_pack.gather import gather
from models.evidence_pack.seal import FILES, EvidenceSigner, Member, Pack, entries_member, pack_member
from models.p2p_dispute.types import P2PDispute
from models.p2p_file import queries as files
from models.p2p_trade.types import P2PTrade

MEDIA_TYPE = "application/zip"
CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pack, as a ZIP",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_MEMORY_BYTES_MOST = 1024 * 1024
_CHUNK_BYTES = 256 * 1024


def signer(services: Services) -> EvidenceSigner:
    """:raises EvidenceUnavailable: this installation has no key to sign with."""
    if services.evidence is None:
        raise EvidenceUnavailable("no key to sign evidence packs with is set; ask the operator")
    return services.evidence


async def respond(
    conn: AsyncConnection, services: Services, trade: P2PTrade, dispute: P2PDispute
) -> StreamingResponse:
    """The pack of a dispute. ``conn`` must read one snapshot.

    :raises EvidenceUnavailable: this installation has no key to sign with.
    :raises SealBroken: something does not open with this key.
    """
    key = signer(services)
    # Closed by the response's background task, and by nobody if the caller hangs up: then when it is forgotten.
    output: IO[bytes] = tempfile.SpooledTemporaryFile(_MEMORY_BYTES_MOST)  # noqa: SIM115
    try:
        await _write(conn, services, key, trade, dispute, output)
    except BaseException:
        output.close()
        raise
    size = output.tell()
    output.seek(0)
    name = f"evidence-{trade.reference}.zip"
    return StreamingResponse(
        _chunks(output),
        media_type=MEDIA_TYPE,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(size),
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        },
        background=BackgroundTask(output.close),
    )


async def _write(
    conn: AsyncConnection,
    services: Services,
    key: EvidenceSigner,
    trade: P2PTrade,
    dispute: P2PDispute,
    output: IO[bytes],
) -> None:
    facts, attached = await gather(conn, services.box, trade, dispute)
    entries = chained(facts)
    by_digest = {file.sha256: file.id for file in attached}
    with Pack(output) as pack:
        pack.add(entries_member(entries))
        for digest, file_id in sorted(by_digest.items()):
            opened = await files.opened(conn, services.box, trade.id, file_id)
            await asyncio.to_thread(pack.add, Member(f"{FILES}{digest}", opened.body))
        pack.add(
            pack_member(
                key,
                trade_id=trade.id,
                dispute_id=dispute.id,
                made_at=datetime.now(UTC),
                entries=entries,
                files=by_digest,
            )
        )


async def _chunks(source: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk
