"""What every activity gets without asking: a beating heart, and errors that say whether to try again."""

import asyncio
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from models.errors import Broken, LiquidaError

log = structlog.get_logger()


class LiquidaInterceptor(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Activity(next)


class _Activity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        """A worker that dies is noticed within one heartbeat timeout, however long the activity may take.

        ``Refused`` and ``Broken`` are not tried again, ``Unknown`` is; the type is the class's name. Of any other
        fault the history gets the type alone, because its text may name a person; the log has it, redacted.
        """
        info = activity.info()
        heart = asyncio.create_task(_beat(info.heartbeat_timeout.total_seconds() if info.heartbeat_timeout else 0))
        with structlog.contextvars.bound_contextvars(workflow_id=info.workflow_id, activity=info.activity_type):
            try:
                return await super().execute_activity(input)
            except LiquidaError as error:
                if isinstance(error, Broken):
                    log.error("law.broken", type=error.type, detail=error.detail)  # noqa: TRY400 the detail is all there is to say
                raise ApplicationError(
                    error.detail, type=type(error).__name__, non_retryable=not error.retryable
                ) from None
            except ApplicationError:
                raise
            except Exception as fault:
                log.exception("activity.fault")
                raise ApplicationError(
                    "an unforeseen fault; see the worker's log", type=type(fault).__name__
                ) from None
            finally:
                heart.cancel()


async def _beat(timeout_seconds: float) -> None:
    """The first beat only after a while: an activity that is over by then costs the server none."""
    while timeout_seconds:
        await asyncio.sleep(timeout_seconds / 3)
        activity.heartbeat()
