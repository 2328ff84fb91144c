"""Is the process alive, can it work, and how is it doing?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from api.deps import Deps, Services
from api.problems import FieldProblem, problem, problems
from models.base import ping
from models.errors import EngineUnavailable, LiquidaError, Unknown

router = APIRouter(tags=["health"])
SECONDS_MOST = 3.0


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    database: Literal["ok"] = "ok"
    temporal: Literal["ok"] = "ok"


class NotReady(Unknown):
    type = "not-ready"
    title = "A part that the API needs does not answer"


@router.get("/healthz")
async def healthz() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/readyz", response_model=Ready, responses=problems(NotReady))
async def readyz(request: Request, services: Deps) -> Ready | JSONResponse:
    """The database and Temporal answer. Trades are accepted without Temporal, commands are not."""
    parts = {"database": _database, "temporal": _temporal}
    answers = await asyncio.gather(*(_answers(ask, services) for ask in parts.values()))
    silent = [name for name, well in zip(parts, answers, strict=True) if not well]
    if not silent:
        return Ready()
    errors = [FieldProblem(field=name, detail="does not answer") for name in silent]
    return problem(request, NotReady, f"does not answer: {', '.join(silent)}", errors)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text"}},
)
async def metrics(request: Request, services: Deps) -> Response:
    """Metrics in Prometheus' text format; the list is in `api/metrics.py`. Numbers only, nothing personal."""
    return Response(await request.app.state.metrics.scrape(services.engine), media_type=CONTENT_TYPE_LATEST)


async def _answers(ask: Callable[[Services], Awaitable[None]], services: Services) -> bool:
    try:
        async with asyncio.timeout(SECONDS_MOST):
            await ask(services)
    except (SQLAlchemyError, OSError, RPCError, RuntimeError, LiquidaError):
        return False
    return True


async def _database(services: Services) -> None:
    async with services.engine.connect() as conn:
        await ping(conn)


async def _temporal(services: Services) -> None:
    client = await services.temporal()
    if not await client.service_client.check_health():
        raise EngineUnavailable("Temporal says it does not serve")
