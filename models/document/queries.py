"""Reads of verified documents."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.document.tables import user_document_history, user_documents
from models.document.types import Document, DocumentChange, Holder
from models.secret_box import SecretBox

_D = user_documents.c
_H = user_document_history.c


def place(user_id: str, column: str) -> str:
    """Where a sealed value of a user's document opens."""
    return f"user_documents/{user_id}/{column}"


async def holder(conn: AsyncConnection, box: SecretBox, user_id: str) -> Holder | None:
    """Who the user is, opened; None until an operator has verified it."""
    statement = select(_D.tax_id_sealed, _D.name_sealed).where(_D.user_id == user_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        return None
    return Holder(
        tax_id=box.open(row.tax_id_sealed, place=place(user_id, "tax_id")),
        name=box.open(row.name_sealed, place=place(user_id, "name")),
    )


async def fingerprint_of(conn: AsyncConnection, user_id: str) -> bytes | None:
    """The keyed fingerprint of the user's verified tax id, for :func:`models.secret_box.same`."""
    statement = select(_D.tax_id_fingerprint).where(_D.user_id == user_id)
    found: bytes | None = (await conn.execute(statement)).scalar_one_or_none()
    return found


async def document(conn: AsyncConnection, user_id: str) -> Document | None:
    """As shown; None until an operator has verified it."""
    statement = select(_D.kind, _D.tax_id_masked, _D.verified_at, _D.verified_by).where(_D.user_id == user_id)
    row = (await conn.execute(statement)).first()
    return None if row is None else Document(**row._mapping)


async def history(conn: AsyncConnection, user_id: str) -> list[DocumentChange]:
    """Every change of the user's document, oldest first."""
    statement = (
        select(_H.kind, _H.tax_id_masked, _H.change, _H.evidence, _H.verified_by, _H.at)
        .where(_H.user_id == user_id)
        .order_by(_H.id)
    )
    return [DocumentChange(**row._mapping) for row in await conn.execute(statement)]
