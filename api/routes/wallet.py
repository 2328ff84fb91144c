"""What a user has on the platform: an address per network, a balance per asset."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller
from api.deps import Deps
from api.idempotency import OncePerKey
from api.problems import problems
from models.assets import BRL
from models.errors import IdempotencyMismatch, InvalidInput, NodeUnavailable, PayloadTooLarge, UnknownNetwork
from models.ledger import queries as ledger
from models.ledger.chart import available, held
from models.money import units_text
from models.network import queries as networks
from models.wallet import allocate

router = APIRouter(prefix="/api/v1/wallet", tags=["wallet"])


class AddressRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    network: str = Field(max_length=32, examples=["ethereum"])


class AddressView(BaseModel):
    network: str = Field(examples=["ethereum"])
    address: str = Field(examples=["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"])


class BalanceView(BaseModel):
    """``total = available + locked``. ``network`` is null for reais."""

    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    available: str = Field(examples=["1.250000000000000000"])
    locked: str = Field(examples=["0.500000000000000000"])
    total: str = Field(examples=["1.750000000000000000"])


@router.post(
    "/addresses",
    response_model=AddressView,
    responses=problems(PayloadTooLarge, InvalidInput, UnknownNetwork, IdempotencyMismatch, NodeUnavailable),
)
async def address(body: AddressRequest, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """The caller's own address on a network: given at the first asking, the same for ever."""
    network = services.catalogue.network(body.network)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        mine = await allocate.for_user(conn, user_id=caller.user_id, network_id=network.id)
        return await once.answer(conn, 200, AddressView(network=network.id, address=mine.address))


@router.get("/balances")
async def balances(services: Deps, caller: Caller) -> list[BalanceView]:
    """Every asset that can be traded, and every other that the caller has some of."""
    async with services.engine.connect() as conn:
        decimals = await networks.decimals(conn)
        accounts = await ledger.of_owner(conn, caller.user_id)
    traded = [BRL.id, *sorted(services.catalogue.assets)]
    others = sorted({account.asset for account, units in accounts.items() if units} - set(traded))
    found = []
    for asset_id in dict.fromkeys([*traded, *others]):
        free = accounts.get(available(caller.user_id, asset_id), 0)
        locked = accounts.get(held(caller.user_id, asset_id), 0)
        symbol, _, network = asset_id.partition(".")
        places = decimals[asset_id]
        found.append(
            BalanceView(
                asset=symbol,
                network=network or None,
                available=units_text(free, places),
                locked=units_text(locked, places),
                total=units_text(free + locked, places),
            )
        )
    return found
