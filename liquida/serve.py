"""The API process: its services from settings, and the server around the application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from api.deps import Services
from api.engine import LazyClient
from api.prices import CachedFeed
from chains import registry
from liquida import database, prices, wiring
from liquida.settings import Settings
from models.assets import Family
from models.quote.types import Rates

IDLE_CONNECTION_SECONDS = 75
"""Longer than clients and load balancers keep one (5 to 60): a server that closes first may cut a request that is
just being sent, and its caller cannot know whether it was taken.
"""


@asynccontextmanager
async def services(settings: Settings, engine: AsyncEngine) -> AsyncIterator[Services]:
    """What the API is given. It starts, and accepts trades, while Temporal is away."""
    feed = CachedFeed(prices.feed(settings), seconds=settings.durations.price_cached)
    by_name = wiring.webhook_verifiers(settings)
    keeping_keys = asyncio.create_task(wiring.keep_webhook_keys(by_name))
    yield Services(
        engine=engine,
        box=wiring.secret_box(settings),
        temporal=LazyClient(lambda: wiring.connect_temporal(settings)),
        catalogue=await wiring.catalogue(engine),
        address_parsers={family: registry.address_format(family).parse for family in Family},
        feed=feed,
        rates=rates(settings),
        quote_valid_seconds=settings.durations.quote_valid,
        terms=wiring.terms(settings),
        waits=wiring.waits(settings),
        new_key=wiring.new_key(settings),
        pix_limits=wiring.pix_limits(settings),
        webhooks={name: provider.verify_webhook for name, provider in by_name.items()},
        jwt_secret=settings.jwt_secret,
        jwt_minutes=settings.jwt_minutes,
        temporal_ui_url=settings.temporal_ui_url,
        namespace=settings.temporal_namespace,
        failover=wiring.failover(settings),
        collectors=frozenset(wiring.collectors(by_name)),
        p2p=wiring.p2p_rules(settings),
        chat=wiring.chat_rules(settings),
        p2p_disputes=wiring.dispute_rules(settings),
        evidence=wiring.evidence_signer(settings),
    )
    keeping_keys.cancel()
    await asyncio.gather(keeping_keys, return_exceptions=True)
    await feed.close()
    for provider in by_name.values():
        await provider.close()


def rates(settings: Settings) -> Rates:
    return Rates(
        spread_bps=settings.spread_bps,
        network_fee_bps=settings.network_fee_bps,
        trade_min_centavos=settings.trade_min_centavos,
        trade_max_centavos=settings.trade_max_centavos,
        return_min_centavos=settings.return_min_centavos,
    )


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """No access log: some providers' webhooks carry their secret in the query string."""
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
    )


async def run(settings: Settings) -> None:
    """``liquida api``: until SIGTERM or SIGINT."""
    engine = database.engine(settings.database_url, pool=settings.database_pool)
    async with services(settings, engine) as given:
        await uvicorn.Server(server_config(create_app(given), settings)).serve()
    await engine.dispose()
