"""What is traded, at which fees, and a price promised for a short while."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
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
from models.quote.types import Delivery, Funding, LockedSide, Parts, Quote, Rates, Side
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
    trade_min: str = Field(examples=["10.00"], description="least that a trade pays out, or costs")
    trade_max: str = Field(examples=["100000.00"], description="most that a trade pays out, or costs")
    payout_methods: list[Literal["pix"]] = ["pix"]
    payment_methods: list[Literal["pix"]] = ["pix"]


class QuoteRequest(BaseModel):
    """Name exactly one side: ``amount``, or the reais: ``receive_brl`` of a sale, ``pay_brl`` of a purchase."""

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
                {
                    "operation": "buy",
                    "asset": "ETH",
                    "network": "ethereum",
                    "pay_brl": "150.00",
                    "delivery_address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                },
            ]
        },
    )

    operation: Side
    asset: str = Field(max_length=32, description="its symbol, as `GET assets` lists it")
    network: str = Field(max_length=32)
    funding: Funding | None = Field(
        default=None,
        description="needed to sell. `custody`: the coins are at your platform address. `deposit`: you send them "
        "from outside. A purchase is always paid by `pix`.",
    )
    amount: PlainAmount | None = Field(default=None, description='crypto, exactly; like "0.01"')
    receive_brl: PlainAmount | None = Field(
        default=None, description='reais received of a sale, exactly; like "150.00"'
    )
    pay_brl: PlainAmount | None = Field(default=None, description='reais paid for a purchase, exactly; like "150.00"')
    delivery_address: str | None = Field(
        default=None,
        max_length=128,
        description="of a purchase: where the coins go; without it, to your platform address",
    )
    refund_address: str | None = Field(
        default=None, max_length=128, description="needed with `deposit`: where coins go back to; an address of yours"
    )


@router.get("/assets")
async def assets(services: Deps, _caller: Caller) -> list[AssetShown]:
    """The assets that can be sold and bought, each on its network."""
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
    funding = _funding(body)
    units, centavos = _sides(body, asset)
    refund_address = _refund_address(body, services)
    delivery_address = _delivery_address(body, services)
    # Before the transaction: no database connection waits for a market.
    price = rules.price_of(await services.feed.price(asset.symbol), asset, body.operation)
    parts = _parts(body.operation, units, centavos, price, asset, services.rates)
    now = datetime.now(UTC)
    made = Quote(
        id=new_id(),
        user_id=caller.user_id,
        operation=body.operation,
        asset_id=asset.id,
        network_id=body.network,
        funding=funding,
        locked_side=_locked_side(body),
        price=price,
        return_min_centavos=services.rates.return_min_centavos,
        refund_address=refund_address,
        delivery=_delivery(body),
        delivery_address=delivery_address,
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
        for field, address in (("refund_address", refund_address), ("delivery_address", delivery_address)):
            if address is not None:
                await _check_foreign(conn, made.network_id, address, field)
        await writes.add(conn, made)
        return await once.answer(conn, 201, quote_view(made, services))


def _funding(body: QuoteRequest) -> Funding:
    if body.operation is Side.BUY:
        if body.funding not in {None, Funding.PIX}:
            raise InvalidInput("a purchase is paid by pix; leave funding out", field="funding")
        return Funding.PIX
    if body.funding is None or body.funding is Funding.PIX:
        raise InvalidInput("say where the coins come from: custody or deposit", field="funding")
    return body.funding


def _sides(body: QuoteRequest, asset: Asset) -> tuple[int | None, int]:
    """Base units, or centavos: whichever side is named."""
    ours, theirs = ("receive_brl", "pay_brl") if body.operation is Side.SELL else ("pay_brl", "receive_brl")
    if getattr(body, theirs) is not None:
        raise InvalidInput(f"{theirs} belongs to the other operation; name {ours}", field=theirs)
    reais_named: str | None = getattr(body, ours)
    if (body.amount is None) == (reais_named is None):
        raise InvalidInput(f"name exactly one of amount and {ours}", field="amount")
    if body.amount is not None:
        return positive(body.amount, asset, "amount"), 0
    return None, positive(reais_named or "", BRL, ours)


def _locked_side(body: QuoteRequest) -> LockedSide:
    if body.amount is not None:
        return LockedSide.AMOUNT
    return LockedSide.RECEIVE if body.operation is Side.SELL else LockedSide.PAY


def _parts(side: Side, units: int | None, centavos: int, price: Decimal, asset: Asset, rates: Rates) -> Parts:
    if side is Side.SELL:
        by_amount, by_reais = rules.sell_amount, rules.sell_for
    else:
        by_amount, by_reais = rules.buy_amount, rules.buy_for
    return by_reais(centavos, price, asset, rates) if units is None else by_amount(units, price, asset, rates)


def positive(text: str, asset: Asset, field: str) -> int:
    """Base units. :raises NotAnAmount: zero or less, or no number."""
    units = Amount.parse(text, asset, field=field).units
    if units <= 0:
        raise NotAnAmount(f"{field} must be greater than zero", field=field)
    return units


def _refund_address(body: QuoteRequest, services: Services) -> str | None:
    field = "refund_address"
    if body.funding is not Funding.DEPOSIT:
        if body.refund_address is not None:
            raise InvalidInput(
                "leave refund_address out: only coins deposited for a sale go back to an address", field=field
            )
        return None
    if body.refund_address is None:
        raise InvalidInput("name the address of yours that coins go back to, should they have to", field=field)
    return _parsed(body.refund_address, body, services, field)


def _delivery(body: QuoteRequest) -> Delivery | None:
    if body.operation is Side.SELL:
        return None
    return Delivery.CUSTODY if body.delivery_address is None else Delivery.ADDRESS


def _delivery_address(body: QuoteRequest, services: Services) -> str | None:
    field = "delivery_address"
    if body.delivery_address is None:
        return None
    if body.operation is Side.SELL:
        raise InvalidInput("leave delivery_address out of a sale", field=field)
    return _parsed(body.delivery_address, body, services, field)


def _parsed(address: str, body: QuoteRequest, services: Services, field: str) -> str:
    family = services.catalogue.network(body.network).family
    try:
        return services.address_parsers[family](address)
    except InvalidAddress as error:
        raise InvalidAddress(error.detail, field=field) from None


async def _check_foreign(conn: AsyncConnection, network_id: str, address: str, field: str) -> None:
    """:raises InvalidAddress: it is one of ours, and a payment to it would go round in circles."""
    if await allocate.by_text(conn, network_id, [address]):
        raise InvalidAddress("this is an address of the platform; name one of your own", field=field)
