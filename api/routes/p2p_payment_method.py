"""Where a user is paid by other users: taken in clear, kept sealed, shown masked but to its owner alone."""

from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller
from api.deps import Deps
from api.ids import IdInPath
from api.names import PersonName
from api.problems import problems
from api.sealed_once import SealedOncePerKey
from models.errors import (
    DocumentMissing,
    IdempotencyMismatch,
    InUse,
    InvalidInput,
    InvalidPixKey,
    LimitExceeded,
    NotFound,
    NotTheHolder,
    PayloadTooLarge,
)
from models.payment_method import queries, writes
from models.payment_method.rules import account_part
from models.payment_method.types import MethodDraft, MethodKind, PaymentMethod
from payments.pix_key import mask_pix_key, mask_tax_id, parse_pix_key, parse_tax_id
from payments.protocol import PixKeyKind

router = APIRouter(prefix="/api/v1/p2p/payment-methods", tags=["p2p"])

_LABEL = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
_OF_PIX = ("pix_key", "pix_key_kind")
_OF_TED = ("bank", "branch", "account", "holder_tax_id")
_TAX_IDS = frozenset({PixKeyKind.CPF, PixKeyKind.CNPJ})


class MethodRequest(BaseModel):
    """Of `pix`: `pix_key`. Of `ted`: `bank`, `branch`, `account` and `holder_tax_id`."""

    model_config = ConfigDict(extra="forbid")

    kind: MethodKind
    label: str = Field(min_length=1, max_length=64, pattern=_LABEL, examples=["my bank"], description="for you")
    holder_name: PersonName
    pix_key: str | None = Field(default=None, max_length=100, examples=["ana@example.com"])
    pix_key_kind: PixKeyKind | None = Field(
        default=None, description="needed for 11 digits, which may be a CPF or a phone number: only you know which"
    )
    bank: str | None = Field(default=None, max_length=8, description="COMPE code or ISPB", examples=["341"])
    branch: str | None = Field(default=None, max_length=10, examples=["0123"])
    account: str | None = Field(default=None, max_length=24, examples=["45678-9"])
    holder_tax_id: str | None = Field(default=None, max_length=100, description="CPF or CNPJ")


class MethodView(BaseModel):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    kind: MethodKind
    label: str
    masked: str = Field(examples=["a***@example.com"], description="enough for you to recognise it")
    created_at: datetime


class MethodDetails(MethodView):
    """In clear: for its owner."""

    details: dict[str, str] = Field(
        examples=[{"pix_key": "ana@example.com", "pix_key_kind": "email", "holder_name": "Ana Maria da Silva"}],
        description="what the other side of a live trade sees",
    )


_REFUSALS = (PayloadTooLarge, InvalidInput, InvalidPixKey, DocumentMissing, NotTheHolder)


@router.post(
    "", status_code=201, response_model=MethodView, responses=problems(*_REFUSALS, LimitExceeded, IdempotencyMismatch)
)
async def add(body: MethodRequest, services: Deps, caller: Caller, once: SealedOncePerKey) -> JSONResponse:
    """Keep a PIX key or a bank account of your own, to be paid by other users.

    Your document must be verified. Others see it only while a trade is open in which they are to pay you there.
    """
    draft = _draft(body)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        kept = await writes.add(conn, services.box, user_id=caller.user_id, draft=draft)
        return await once.answer(conn, 201, _view(kept))


@router.get("")
async def mine(services: Deps, caller: Caller) -> list[MethodView]:
    """The caller's payment methods, masked, oldest first."""
    async with services.engine.connect() as conn:
        return [_view(kept) for kept in await queries.of_user(conn, services.box, caller.user_id)]


@router.get("/{method_id:id}", responses=problems(NotFound))
async def show(method_id: IdInPath, services: Deps, caller: Caller) -> MethodDetails:
    """One of the caller's own, in clear."""
    async with services.engine.connect() as conn:
        kept = await queries.one(conn, services.box, method_id=method_id, user_id=caller.user_id)
    return MethodDetails(**_view(kept).model_dump(), details=kept.details)


@router.put("/{method_id:id}", responses=problems(*_REFUSALS, NotFound, InUse))
async def change(method_id: IdInPath, body: MethodRequest, services: Deps, caller: Caller) -> MethodView:
    """The label can always change; the account only while no order names it and no trade was paid there."""
    draft = _draft(body)
    async with services.engine.begin() as conn:
        kept = await writes.change(conn, services.box, method_id=method_id, user_id=caller.user_id, draft=draft)
    return _view(kept)


@router.delete("/{method_id:id}", status_code=204, responses=problems(NotFound, InUse))
async def remove(method_id: IdInPath, services: Deps, caller: Caller) -> None:
    """Not while an order names it, or a trade is to be paid there."""
    async with services.engine.begin() as conn:
        await writes.remove(conn, method_id=method_id, user_id=caller.user_id)


def _draft(body: MethodRequest) -> MethodDraft:
    """:raises InvalidInput: a field is missing, belongs to the other kind, or is not of its form."""
    needed, foreign = (_OF_PIX[:1], _OF_TED) if body.kind is MethodKind.PIX else (_OF_TED, _OF_PIX)
    for name in foreign:
        if getattr(body, name) is not None:
            raise InvalidInput(f"{name} does not belong to {body.kind}; leave it out", field=name)
    for name in needed:
        if getattr(body, name) is None:
            raise InvalidInput(f"{name} is needed for {body.kind}", field=name)
    return _pix(body) if body.kind is MethodKind.PIX else _ted(body)


def _pix(body: MethodRequest) -> MethodDraft:
    key, kind = _pix_key(body.pix_key or "", body.pix_key_kind)
    details = {"pix_key": key, "pix_key_kind": str(kind), "holder_name": body.holder_name.strip()}
    return MethodDraft(body.kind, body.label.strip(), details, key if kind in _TAX_IDS else None, "pix_key")


def _pix_key(text: str, kind: PixKeyKind | None) -> tuple[str, PixKeyKind]:
    """:raises InvalidPixKey: not a key of this kind, or of any.
    :raises InvalidInput: a key of more than one kind, and none was named.
    """
    found = []
    for one in PixKeyKind if kind is None else (kind,):
        try:
            found.append((parse_pix_key(text, one), one))
        except InvalidPixKey:
            if kind is not None:
                raise
    if not found:
        raise InvalidPixKey("pix_key is not a PIX key of any kind", field="pix_key")
    if len(found) > 1:
        raise InvalidInput(
            "these digits may be a CPF or a phone number: pix_key_kind must say which", field="pix_key_kind"
        )
    return found[0]


def _ted(body: MethodRequest) -> MethodDraft:
    details = {field: account_part(field, getattr(body, field)) for field in ("bank", "branch", "account")}
    try:
        tax_id = parse_tax_id(body.holder_tax_id or "")
    except InvalidInput:
        raise InvalidInput("holder_tax_id is not a valid CPF or CNPJ", field="holder_tax_id") from None
    details |= {"holder_name": body.holder_name.strip(), "holder_tax_id": tax_id}
    return MethodDraft(body.kind, body.label.strip(), details, tax_id)


def _view(kept: PaymentMethod) -> MethodView:
    return MethodView(id=kept.id, kind=kept.kind, label=kept.label, masked=_masked(kept), created_at=kept.created_at)


def _masked(kept: PaymentMethod) -> str:
    details = kept.details
    if kept.kind is MethodKind.PIX:
        return mask_pix_key(details["pix_key"], PixKeyKind(details["pix_key_kind"]))
    return f"{details['bank']} ****{details['account'][-2:]} {mask_tax_id(details['holder_tax_id'])}"
