"""What is traded, at which fees, and a price promised for a short while."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import Caller
from api.deps import Deps, Services
from api.idempotency import OncePerKey
from api.problems import problems
from api.views import QuoteView, quote_view, reais
from models.assets import BRL, Asset
from models.errors import (
    IdempotencyMismatch,
    InvalidAddress,
    InvalidInput,
    LimitExceeded,
    NotAnAmount,
    PayloadTooLarge,
    PriceUnavailable,
    TooPrecise,
    UnknownAsset,
    UnknownNetwork,
)
from models.ids import new_id
from models.money import Amount
from models.quote import rules, writes
from models.quote.types import Funding, LockedSide, Quote
from models.wallet import allocate

router = APIRouter(prefix="/api/v1/instant-trade", tags=["instant trade"])

PlainAmount = Annotated[str, Field(min_length=1, max_length=100)]


class NetworkShown(BaseModel):
    id: str = Field(examples=["ethereum"])
    name: str = Field(examples=["Ethereum"])
    confirmations: int = Field(ge=1, description="blocks until we treat a transaction as final, its own included")


class AssetShown(BaseModel):
    asset: str = Field(examples=["ETH"])
    decimals: int = Field(ge=0)
    contract: str | None = Field(description="the token's contract; null for the network's own coin")
    network: NetworkShown


class Fees(BaseModel):
    """Rates in basis points of the gross value; both are rounded up to the centavo."""

    currency: Literal["BRL"] = "BRL"
    spread_bps: int
    network_fee_bps: int
    trade_min: str = Field(examples=["10.00"], description="least that a trade pays out")
    trade_max: str = Field(examples=["100000.00"], description="most that a trade pays out")
    payout_methods: list[Literal["pix"]] = ["pix"]


class QuoteRequest(BaseModel):
    """Name exactly one of ``amount`` and ``receive_brl``; the other side follows from the price."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "operation": "sell",
                    "asset": "ETH",
                    "network": "ethereum",
                    "funding": "deposit",
                    "amount": "0.01",
                    "refund_address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                },
                {
                    "operation": "sell",
                    "asset": "ETH",
                    "network": "ethereum",
                    "funding": "custody",
                    "receive_brl": "150.00",
                },
            ]
        },
    )

    operation: Literal["sell"]
    asset: str = Field(max_length=32, description="its symbol, as `GET assets` lists it")
    network: str = Field(max_length=32)
    funding: Funding = Field(
        description="`custody`: the coins are at your platform address. `deposit`: you send them from outside."
    )
    amount: PlainAmount | None = Field(default=None, description='crypto handed in, exactly; like "0.01"')
    receive_brl: PlainAmount | None = Field(default=None, description='reais received, exactly; like "150.00"')
    refund_address: str | None = Field(
        default=None, max_length=128, description="needed with `deposit`: where coins go back to; an address of yours"
    )


@router.get("/assets")
async def assets(services: Deps, _caller: Caller) -> list[AssetShown]:
    """The assets that can be sold, each on its network."""
    networks = services.catalogue.networks
    return [
        AssetShown(
            asset=asset.symbol,
            decimals=asset.decimals,
            contract=asset.contract,
            network=NetworkShown(id=network.id, name=network.name, confirmations=network.confirmations),
        )
        for asset in services.catalogue.assets.values()
        if asset.network is not None and (network := networks.get(asset.network)) is not None
    ]


@router.get("/fees")
async def fees(services: Deps, _caller: Caller) -> Fees:
    """What a trade costs, and its limits."""
    rates = services.rates
    return Fees(
        spread_bps=rates.spread_bps,
        network_fee_bps=rates.network_fee_bps,
        trade_min=reais(rates.trade_min_centavos),
        trade_max=reais(rates.trade_max_centavos),
    )


@router.post(
    "/quote",
    status_code=201,
    response_model=QuoteView,
    responses=problems(
        PayloadTooLarge,
        InvalidInput,
        NotAnAmount,
        TooPrecise,
        UnknownAsset,
        UnknownNetwork,
        InvalidAddress,
        LimitExceeded,
        IdempotencyMismatch,
        PriceUnavailable,
    ),
)
async def quote(body: QuoteRequest, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Promise a price, with every part of it, for a short while. It moves nothing; `create` uses it, once."""
    asset = services.catalogue.asset(body.asset, body.network)
    units, centavos = _sides(body, asset)
    refund_address = _refund_address(body, services)
    # Before the transaction: no database connection waits for a market.
    price = rules.price_of(await services.feed.price(asset.symbol), asset)
    if units is not None:
        parts = rules.sell_amount(units, price, asset, services.rates)
    else:
        parts = rules.sell_for(centavos or 0, price, asset, services.rates)
    now = datetime.now(UTC)
    made = Quote(
        id=new_id(),
        user_id=caller.user_id,
        operation=body.operation,
        asset_id=asset.id,
        network_id=body.network,
        funding=body.funding,
        locked_side=LockedSide.RECEIVE if units is None else LockedSide.AMOUNT,
        price=price,
        return_min_centavos=services.rates.return_min_centavos,
        refund_address=refund_address,
        created_at=now,
        expires_at=now + timedelta(seconds=services.quote_valid_seconds),
        amount_units=parts.amount_units,
        gross_centavos=parts.gross_centavos,
        spread_centavos=parts.spread_centavos,
        network_fee_centavos=parts.network_fee_centavos,
        total_centavos=parts.total_centavos,
    )
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        if refund_address is not None:
            await _check_foreign(conn, made.network_id, refund_address)
        await writes.add(conn, made)
        return await once.answer(conn, 201, quote_view(made, services))


def _sides(body: QuoteRequest, asset: Asset) -> tuple[int | None, int | None]:
    """Base units, or centavos: whichever side is named."""
    if (body.amount is None) == (body.receive_brl is None):
        raise InvalidInput("name exactly one of amount and receive_brl", field="amount")
    if body.amount is not None:
        return _positive(body.amount, asset, "amount"), None
    return None, _positive(body.receive_brl or "", BRL, "receive_brl")


def _positive(text: str, asset: Asset, field: str) -> int:
    units = Amount.parse(text, asset, field=field).units
    if units <= 0:
        raise NotAnAmount(f"{field} must be greater than zero", field=field)
    return units


def _refund_address(body: QuoteRequest, services: Services) -> str | None:
    field = "refund_address"
    if body.funding is Funding.CUSTODY:
        if body.refund_address is not None:
            raise InvalidInput(
                "leave refund_address out with funding custody: coins stay on the platform", field=field
            )
        return None
    if body.refund_address is None:
        raise InvalidInput("name the address of yours that coins go back to, should they have to", field=field)
    family = services.catalogue.network(body.network).family
    try:
        return services.address_parsers[family](body.refund_address)
    except InvalidAddress as error:
        raise InvalidAddress(error.detail, field=field) from None


async def _check_foreign(conn: AsyncConnection, network_id: str, address: str) -> None:
    """:raises InvalidAddress: it is one of ours, and a refund to it would go round in circles."""
    if await allocate.by_text(conn, network_id, [address]):
        raise InvalidAddress("this is an address of the platform; name one of your own", field="refund_address")
