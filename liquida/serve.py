"""The API process: its services from settings, and the server around the application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket

import uvicorn
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from api.deps import Services
from api.engine import LazyClient
from api.event_hub import EventHub, StreamRules
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
STOPPING_SECONDS_MOST = 20
"""For what is being answered; a client that does not read its answer is not waited for."""
CLIENT_MESSAGE_BYTES_MOST = 16 * 1024


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
        streams=StreamRules(per_user=settings.event_streams_most),
        sending=wiring.sending_plan(settings),
        allow_private_webhooks=settings.webhook_allow_private,
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
        timeout_graceful_shutdown=STOPPING_SECONDS_MOST,
        ws="websockets-sansio",
        ws_max_size=CLIENT_MESSAGE_BYTES_MOST,
        ws_per_message_deflate=False,
    )


class Server(uvicorn.Server):
    """Ends the streams of events before it waits for open connections: by themselves they end in a quarter hour."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._hub: EventHub = app.state.event_hub

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await self._hub.close()
        await super().shutdown(sockets)


async def run(settings: Settings) -> None:
    """``liquida api``: until SIGTERM or SIGINT."""
    engine = database.engine(settings.database_url, pool=settings.database_pool)
    async with services(settings, engine) as given:
        app = create_app(given)
        await Server(app, server_config(app, settings)).serve()
    await engine.dispose()
