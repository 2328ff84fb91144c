"""Where a user is paid: taken in clear once, kept sealed, shown masked."""

from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller
from api.deps import Deps, Services
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.names import PersonName
from api.problems import problems
from models.bank_data import writes
from models.bank_data.types import BankData, Payee
from models.errors import IdempotencyMismatch, InvalidInput, InvalidPixKey, NotFound, PayloadTooLarge
from payments.pix_key import mask_pix_key, parse_pix_key, parse_tax_id
from payments.protocol import PixKeyKind

router = APIRouter(prefix="/api/v1/bank-data", tags=["bank data"])

_ELEVEN_DIGITS = {PixKeyKind.CPF: PixKeyKind.PHONE, PixKeyKind.PHONE: PixKeyKind.CPF}


class BankDataRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pix_key: str = Field(max_length=100, examples=["ana@example.com"])
    pix_key_kind: PixKeyKind = Field(description="11 digits may be a CPF or a phone number: only you know which")
    holder_name: PersonName
    holder_tax_id: str = Field(max_length=100, description="CPF or CNPJ", examples=["111.444.777-35"])


class BankDataView(BaseModel):
    id: str
    pix_key_kind: PixKeyKind
    pix_key_masked: str = Field(examples=["a***@example.com"])
    is_primary: bool = Field(description="trades that name no bank data are paid here")
    verified_at: datetime | None = Field(
        description="since when the holder is known to be you; null: not yet, or the documents differ"
    )
    created_at: datetime
    usable_from: datetime = Field(description="from then on it receives any amount; until then little")


@router.post(
    "",
    status_code=201,
    response_model=BankDataView,
    responses=problems(PayloadTooLarge, InvalidInput, InvalidPixKey, IdempotencyMismatch),
)
async def add(body: BankDataRequest, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Keep a PIX key. The same key again finds the one kept first. Your first one is the primary.

    It must be your own: the holder's CPF or CNPJ is compared with your verified document when a trade is made.
    """
    pix_key = _pix_key(body.pix_key, body.pix_key_kind)
    payee = Payee(pix_key, body.pix_key_kind, body.holder_name.strip(), _tax_id(body.holder_tax_id))
    masked = mask_pix_key(pix_key, body.pix_key_kind)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        kept = await writes.add(conn, services.box, user_id=caller.user_id, payee=payee, masked=masked)
        return await once.answer(conn, 201, _view(kept, services))


@router.get("")
async def mine(services: Deps, caller: Caller) -> list[BankDataView]:
    """The caller's PIX keys, masked, oldest first."""
    async with services.engine.connect() as conn:
        return [_view(kept, services) for kept in await writes.of_user(conn, caller.user_id)]


@router.post(
    "/{bank_data_id:id}/primary", response_model=BankDataView, responses=problems(NotFound, IdempotencyMismatch)
)
async def make_primary(bank_data_id: IdInPath, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Trades that name no bank data are paid there from now on."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        kept = await writes.make_primary(conn, bank_data_id=bank_data_id, user_id=caller.user_id)
        return await once.answer(conn, 200, _view(kept, services))


@router.delete("/{bank_data_id:id}", status_code=204, responses=problems(NotFound))
async def remove(bank_data_id: IdInPath, services: Deps, caller: Caller) -> None:
    """New trades cannot use it any more; payouts already ordered still can.

    After the primary, the newest of the others is the primary.
    """
    async with services.engine.begin() as conn:
        await writes.remove(conn, bank_data_id=bank_data_id, user_id=caller.user_id)


def _pix_key(text: str, kind: PixKeyKind) -> str:
    """:raises InvalidPixKey: not of this kind; eleven digits of the other kind that has as many are told so."""
    try:
        return parse_pix_key(text, kind)
    except InvalidPixKey as refusal:
        other = _ELEVEN_DIGITS.get(kind)
        if other is None or not _is_key(text, other):
            raise
        detail = f"{refusal.detail}; 11 digits may be a CPF or a phone number: pix_key_kind must say which"
        raise InvalidPixKey(detail, field="pix_key") from None


def _is_key(text: str, kind: PixKeyKind) -> bool:
    try:
        parse_pix_key(text, kind)
    except InvalidPixKey:
        return False
    return True


def _tax_id(text: str) -> str:
    try:
        return parse_tax_id(text)
    except InvalidInput:
        raise InvalidInput("holder_tax_id is not a valid CPF or CNPJ", field="holder_tax_id") from None


def _view(kept: BankData, services: Services) -> BankDataView:
    return BankDataView(
        id=kept.id,
        pix_key_kind=PixKeyKind(kept.pix_key_kind),
        pix_key_masked=kept.pix_key_masked,
        is_primary=kept.is_primary,
        verified_at=kept.verified_at,
        created_at=kept.created_at,
        usable_from=services.new_key.usable_from(kept.created_at),
    )
