"""Whether each PIX provider answers, looked at beside the payments queue and read where a trade is accepted."""

import asyncio
from collections.abc import Mapping

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.loops import for_ever
from models.errors import LiquidaError, PayoutUnknown
from models.provider_health import writes
from payments.protocol import PixPing, PixProvider

log = structlog.get_logger()

CHECK_SECONDS_MOST = 20.0


async def look(provider: PixProvider) -> int | None:
    """The balance in centavos; None from one that tells none and answers all the same.

    :raises LiquidaError: it does not answer, or not well.
    """
    try:
        async with asyncio.timeout(CHECK_SECONDS_MOST):
            if not isinstance(provider, PixPing):
                return await provider.balance()
            await provider.ping()
            return None
    except TimeoutError:
        raise PayoutUnknown("the provider did not answer in time") from None


async def check_providers(engine: AsyncEngine, by_name: Mapping[str, PixProvider]) -> None:
    """Ask each once, all at the same time, and write down who answered."""
    answers = dict(zip(by_name, await asyncio.gather(*map(_answers, by_name.values())), strict=True))
    async with engine.begin() as conn:
        for name in sorted(answers):
            await writes.note(conn, name, answers=answers[name])


async def watch_providers(engine: AsyncEngine, by_name: Mapping[str, PixProvider], *, every_seconds: float) -> None:
    """For ever."""

    async def once() -> bool:
        await check_providers(engine, by_name)
        return False

    await for_ever("provider_watch", once, every_seconds=every_seconds)


async def _answers(provider: PixProvider) -> bool:
    try:
        await look(provider)
    except LiquidaError as error:
        log.warning("provider.not_answering", provider=provider.name, error=error.type, why=error.detail)
    except Exception as error:  # noqa: BLE001 a look that goes wrong must not end the worker that pays
        log.warning("provider.not_answering", provider=provider.name, error=type(error).__name__)
    else:
        return True
    return False
