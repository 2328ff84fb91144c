"""Where a user is paid: taken in clear once, kept sealed, shown masked."""

from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller
from api.deps import Deps
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.problems import problems
from models.bank_data import writes
from models.bank_data.types import BankData, Payee
from models.errors import IdempotencyMismatch, InvalidInput, InvalidPixKey, NotFound, PayloadTooLarge
from payments.pix_key import mask_pix_key, parse_pix_key, parse_tax_id
from payments.protocol import PixKeyKind

router = APIRouter(prefix="/api/v1/bank-data", tags=["bank data"])


class BankDataRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pix_key: str = Field(max_length=100, examples=["ana@example.com"])
    pix_key_kind: PixKeyKind
    holder_name: str = Field(
        min_length=2,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        examples=["Ana Maria da Silva"],
    )
    holder_tax_id: str = Field(max_length=100, description="CPF or CNPJ", examples=["111.444.777-35"])


class BankDataView(BaseModel):
    id: str
    pix_key_kind: PixKeyKind
    pix_key_masked: str = Field(examples=["a***@example.com"])
    created_at: datetime


@router.post(
    "",
    status_code=201,
    response_model=BankDataView,
    responses=problems(PayloadTooLarge, InvalidInput, InvalidPixKey, IdempotencyMismatch),
)
async def add(body: BankDataRequest, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Keep a PIX key. The same key again finds the one kept first."""
    pix_key = parse_pix_key(body.pix_key, body.pix_key_kind)
    payee = Payee(pix_key, body.pix_key_kind, body.holder_name.strip(), _tax_id(body.holder_tax_id))
    masked = mask_pix_key(pix_key, body.pix_key_kind)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        kept = await writes.add(conn, services.box, user_id=caller.user_id, payee=payee, masked=masked)
        return await once.answer(conn, 201, _view(kept))


@router.get("")
async def mine(services: Deps, caller: Caller) -> list[BankDataView]:
    """The caller's PIX keys, masked, oldest first."""
    async with services.engine.connect() as conn:
        return [_view(kept) for kept in await writes.of_user(conn, caller.user_id)]


@router.delete("/{bank_data_id:id}", status_code=204, responses=problems(NotFound))
async def remove(bank_data_id: IdInPath, services: Deps, caller: Caller) -> None:
    """New trades cannot use it any more; payouts already ordered still can."""
    async with services.engine.begin() as conn:
        await writes.remove(conn, bank_data_id=bank_data_id, user_id=caller.user_id)


def _tax_id(text: str) -> str:
    try:
        return parse_tax_id(text)
    except InvalidInput:
        raise InvalidInput("holder_tax_id is not a valid CPF or CNPJ", field="holder_tax_id") from None


def _view(kept: BankData) -> BankDataView:
    return BankDataView(
        id=kept.id,
        pix_key_kind=PixKeyKind(kept.pix_key_kind),
        pix_key_masked=kept.pix_key_masked,
        created_at=kept.created_at,
    )
