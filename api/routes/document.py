"""Who a user is: said by an operator who has seen the document, shown masked, changed only with evidence."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import Caller, Operator, authorise_operator
from api.deps import Deps
from api.evidence import Evidence
from api.ids import IdInPath
from api.names import PersonName
from api.problems import problems
from models.document import queries, writes
from models.document.types import Change, Document, DocumentKind, Holder
from models.errors import DocumentDiffers, DocumentTaken, Forbidden, InvalidInput, NotFound, PayloadTooLarge
from payments.pix_key import mask_tax_id, parse_tax_id

router = APIRouter(prefix="/api/v1/users", tags=["document"])

MASKED = Field(examples=["***.444.777-**"])


class DocumentRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tax_id: str = Field(max_length=100, description="CPF or CNPJ", examples=["111.444.777-35"])
    name: PersonName
    evidence: Evidence
    replace: bool = Field(default=False, description="put it in the place of another one")


class DocumentView(BaseModel):
    kind: DocumentKind
    tax_id_masked: str = MASKED
    verified_at: datetime


class DocumentLine(BaseModel):
    """One change. Lines are only ever added."""

    change: Change
    kind: DocumentKind
    tax_id_masked: str = MASKED
    evidence: str
    verified_by: str = Field(description="the operator's user id")
    at: datetime


class DocumentRecord(DocumentView):
    verified_by: str = Field(description="the operator's user id")
    history: list[DocumentLine] = Field(description="oldest first")


@router.put(
    "/{user_id:id}/document",
    responses=problems(PayloadTooLarge, Forbidden, NotFound, InvalidInput, DocumentDiffers, DocumentTaken),
)
async def verify(user_id: IdInPath, body: DocumentRequest, services: Deps, caller: Operator) -> DocumentRecord:
    """Operators: say who this user is, having seen the document.

    The same again changes nothing. Another tax id or name is refused unless `replace` is said; trades under way
    to PIX keys of the old document are then not paid. A person has one account.
    """
    tax_id = parse_tax_id(body.tax_id)
    async with services.engine.begin() as conn:
        await writes.verify(
            conn,
            services.box,
            user_id=user_id,
            holder=Holder(tax_id, body.name.strip()),
            masked=mask_tax_id(tax_id),
            evidence=body.evidence,
            by=caller.user_id,
            replace=body.replace,
        )
        return await _record(conn, user_id)


@router.get("/me/document", responses=problems(NotFound))
async def mine(services: Deps, caller: Caller) -> DocumentView:
    """The caller's own verified document, masked."""
    async with services.engine.connect() as conn:
        return DocumentView(**_shown(await _document(conn, caller.user_id)))


@router.get(
    "/{user_id:id}/document",
    dependencies=[Depends(authorise_operator)],
    responses=problems(Forbidden, NotFound),
)
async def show(user_id: IdInPath, services: Deps) -> DocumentRecord:
    """Operators: a user's verified document, masked, and every change of it."""
    async with services.engine.connect() as conn:
        return await _record(conn, user_id)


async def _record(conn: AsyncConnection, user_id: str) -> DocumentRecord:
    found = await _document(conn, user_id)
    lines = [DocumentLine(**asdict(line)) for line in await queries.history(conn, user_id)]
    return DocumentRecord(**_shown(found), verified_by=found.verified_by, history=lines)


async def _document(conn: AsyncConnection, user_id: str) -> Document:
    """:raises NotFound: nobody has verified it; the sentence says who does."""
    found = await queries.document(conn, user_id)
    if found is None:
        raise NotFound(
            "no document is verified yet; give it to support, where an operator does that: "
            f"PUT /api/v1/users/{user_id}/document"
        )
    return found


def _shown(found: Document) -> dict[str, Any]:
    return {"kind": found.kind, "tax_id_masked": found.tax_id_masked, "verified_at": found.verified_at}
