"""An operator's word on who a user is, and the line in its history."""

from sqlalchemy import func, insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.bank_data import writes as bank_data
from models.document import queries
from models.document.tables import user_document_history, user_documents
from models.document.types import Change, Document, DocumentKind, Holder
from models.errors import Broken, DocumentDiffers, DocumentTaken
from models.secret_box import SecretBox, tax_id_fingerprint
from models.user import writes as users

ONE_ACCOUNT = "uq_user_documents_tax_id_fingerprint"


async def verify(
    conn: AsyncConnection,
    box: SecretBox,
    *,
    user_id: str,
    holder: Holder,
    masked: str,
    evidence: str,
    by: str,
    replace: bool = False,
) -> Document:
    """Keep who the user is; the same again changes nothing and adds no line.

    :param by: the operator's user id.
    :param replace: another tax id or name takes the place of the one that is there.
    :raises NotFound: there is no such user.
    :raises DocumentDiffers: the user has another one, and ``replace`` was not said.
    :raises DocumentTaken: another user has this tax id.
    """
    await users.lock(conn, user_id)
    known = await queries.holder(conn, box, user_id)
    if known is not None and known != holder and not replace:
        raise DocumentDiffers("the user has another verified document; with evidence, send replace: true")
    if known != holder:
        change = Change.VERIFIED if known is None else Change.REPLACED
        await _write(conn, box, user_id, holder, masked, by)
        await _log(conn, user_id, holder, masked, change=change, evidence=evidence, by=by)
        await bank_data.compare(conn, box, user_id=user_id, fingerprint=tax_id_fingerprint(box, holder.tax_id))
    document = await queries.document(conn, user_id)
    if document is None:
        raise Broken(f"the document of user {user_id} is gone while its row was locked")
    return document


async def _write(conn: AsyncConnection, box: SecretBox, user_id: str, holder: Holder, masked: str, by: str) -> None:
    values = {
        "kind": DocumentKind.of(holder.tax_id),
        "tax_id_sealed": box.seal(holder.tax_id, place=queries.place(user_id, "tax_id")),
        "tax_id_fingerprint": tax_id_fingerprint(box, holder.tax_id),
        "tax_id_masked": masked,
        "name_sealed": box.seal(holder.name, place=queries.place(user_id, "name")),
        "verified_by": by,
    }
    row = upsert(user_documents).values(user_id=user_id, **values)
    statement = row.on_conflict_do_update(index_elements=["user_id"], set_={**values, "verified_at": func.now()})
    try:
        async with conn.begin_nested():
            await conn.execute(statement)
    except IntegrityError as error:
        if ONE_ACCOUNT not in str(error.orig):
            raise
        raise DocumentTaken("another user has this document; a person has one account", field="tax_id") from None


async def _log(
    conn: AsyncConnection, user_id: str, holder: Holder, masked: str, *, change: Change, evidence: str, by: str
) -> None:
    await conn.execute(
        insert(user_document_history).values(
            user_id=user_id,
            kind=DocumentKind.of(holder.tax_id),
            tax_id_masked=masked,
            change=change,
            evidence=evidence,
            verified_by=by,
        )
    )
