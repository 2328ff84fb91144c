"""What a user has on the platform: an address per network, a balance per asset."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller
from api.deps import Deps
from api.idempotency import OncePerKey
from api.problems import problems
from api.wallets import BalanceView, NetworkId, Owner, Symbol, balance_view, one_asset
from models.assets import BRL
from models.errors import (
    Forbidden,
    IdempotencyMismatch,
    InvalidInput,
    NodeUnavailable,
    NotFound,
    PayloadTooLarge,
    UnknownAsset,
    UnknownNetwork,
)
from models.ledger import history
from models.ledger.history import Balance
from models.network import queries as networks
from models.wallet import allocate

router = APIRouter(prefix="/api/v1/wallet", tags=["wallet"])


class AddressRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    network: str = Field(max_length=32, examples=["ethereum"])


class AddressView(BaseModel):
    network: str = Field(examples=["ethereum"])
    address: str = Field(examples=["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"])


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


@router.get("/balances", responses=problems(InvalidInput, Forbidden, NotFound))
async def balances(services: Deps, owner: Owner) -> list[BalanceView]:
    """Every asset that can be traded, and every other that there is some of."""
    async with services.engine.connect() as conn:
        decimals = await networks.decimals(conn)
        found = await history.balances(conn, owner)
    traded = [BRL.id, *sorted(services.catalogue.assets)]
    others = sorted({asset_id for asset_id, balance in found.items() if balance.total_units} - set(traded))
    return [
        balance_view(found.get(asset_id) or Balance(asset_id, 0, 0), decimals[asset_id])
        for asset_id in dict.fromkeys([*traded, *others])
    ]


@router.get("/balance", responses=problems(InvalidInput, UnknownAsset, UnknownNetwork, Forbidden, NotFound))
async def balance(services: Deps, owner: Owner, symbol: Symbol, network: NetworkId = None) -> BalanceView:
    """One asset. `network` is needed where the symbol is on several."""
    async with services.engine.connect() as conn:
        asset = await one_asset(conn, symbol, network)
        found = await history.balances(conn, owner)
    return balance_view(found.get(asset.id) or Balance(asset.id, 0, 0), asset.decimals)
