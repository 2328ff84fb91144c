"""The loop that turns events into webhook deliveries, and wakes whoever follows events."""

from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.loops import for_ever
from models.webhook_delivery import writes
from models.webhook_delivery.types import SendingPlan

AT_ONCE = 500
"""Events in one transaction."""


async def fan_out(engine: AsyncEngine, plan: SendingPlan, *, every_seconds: float) -> None:
    """Until cancelled. Any number of processes may: each event is fanned out by one of them."""

    async def once() -> bool:
        async with engine.begin() as conn:
            return await writes.fan_out(conn, plan, most=AT_ONCE)

    await for_ever("webhook_fan_out", once, every_seconds=every_seconds)
