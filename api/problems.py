"""Every error as problem details (RFC 9457). The class decides the status; nothing typed in is repeated."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import exc as sql
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match
from temporalio.service import RPCError

from models.errors import (
    Broken,
    DatabaseUnavailable,
    EngineUnavailable,
    InvalidInput,
    LiquidaError,
    NotFound,
    PayloadTooLarge,
    Refused,
    Unknown,
)

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
URN = "urn:liquida:problem:"
RETRY_SECONDS = 1
SLOW_DOWN_SECONDS = 20
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PATH_LENGTH_MOST = 200
_CONNECTION_SQLSTATES = ("08", "53", "57P")
_OURS = "it is our fault, is logged, and a person looks into it; the same Idempotency-Key may be sent again"


class FieldProblem(BaseModel):
    """``field``: its name as sent, dotted; ``body`` for the whole of it."""

    field: str = Field(examples=["amount"])
    detail: str = Field(examples=["amount must be a plain decimal number such as '1.5'"])


class Problem(BaseModel):
    """RFC 9457. Match on ``type``: it never changes; the sentences may."""

    type: str = Field(json_schema_extra={"format": "uri-reference"}, examples=[f"{URN}quote-expired"])
    title: str = Field(examples=["The quote has expired"])
    status: int = Field(ge=400, le=599, examples=[410])
    detail: str = Field(examples=["it was valid until 2026-01-05T12:00:30+00:00; ask for a new one"])
    instance: str = Field(json_schema_extra={"format": "uri-reference"}, examples=["/api/v1/instant-trade/create"])
    errors: list[FieldProblem] = []


class Bug(Broken):
    """Something of ours failed that has no name in ``models/errors.py``."""

    type = "internal-error"
    title = "Something failed on our side"


class MethodNotAllowed(Refused):
    type = "method-not-allowed"
    title = "Not a method of this address"
    status = 405


class Relayed(Exception):
    """An error of ours that happened in another process and arrived as its class's name and sentence."""

    def __init__(self, kind: type[LiquidaError], detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def problem(
    request: HTTPConnection,
    kind: type[LiquidaError],
    detail: str,
    errors: Iterable[FieldProblem] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The answer for an error of class ``kind``. Of ``Broken`` ones nothing is told but that it is our fault."""
    body = Problem(
        type=URN + kind.type,
        title=kind.title,
        status=kind.status,
        detail=_OURS if issubclass(kind, Broken) else detail,
        instance=_path(request),
        errors=list(errors),
    )
    return JSONResponse(
        body.model_dump(mode="json"),
        kind.status,
        media_type=MEDIA_TYPE,
        headers={**_headers(kind.status), **(headers or {})},
    )


def problems(*kinds: type[LiquidaError]) -> dict[int | str, dict[str, Any]]:
    """A route's error responses for OpenAPI, from the classes it may answer with."""
    found: dict[int | str, dict[str, Any]] = {}
    silent = (DatabaseUnavailable,) if any(kind.status == DatabaseUnavailable.status for kind in kinds) else ()
    for kind in (*kinds, *silent):
        answer = found.setdefault(
            kind.status,
            {
                "description": HTTPStatus(kind.status).phrase,
                "content": {
                    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}},
                },
            },
        )
        if names := _headers(kind.status):
            answer["headers"] = {name: {"schema": {"type": "string"}, "required": True} for name in names}
        answer["content"][MEDIA_TYPE]["examples"][kind.type] = {
            "summary": kind.title,
            "value": {
                "type": URN + kind.type,
                "title": kind.title,
                "status": kind.status,
                "detail": "one sentence: what is wrong, and what to do",
                "instance": "/api/v1/...",
                "errors": [],
            },
        }
    return found


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error so."""
    app.add_exception_handler(LiquidaError, _of_ours)
    app.add_exception_handler(Relayed, _of_another_process)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_routing)
    app.add_exception_handler(sql.DBAPIError, _of_database)
    for kind in (sql.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        app.add_exception_handler(kind, _of_connection)
    app.add_exception_handler(RPCError, _of_engine)


def field_errors(errors: Iterable[Any]) -> list[FieldProblem]:
    """Pydantic's findings as sentences that name the field; what was sent stays out of them."""
    return [FieldProblem(field=_field(error["loc"]), detail=_sentence(error)) for error in errors]


def _path(request: HTTPConnection) -> str:
    """As it was asked for, and not cut within an escape, or it would be no address."""
    raw: str = request.scope.get("raw_path", b"/").decode("ascii", "replace")
    return re.sub("%.?$", "", raw[:_PATH_LENGTH_MOST])


async def _of_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LiquidaError)
    if isinstance(error, Broken):
        log.error("law.broken", type=error.type, detail=error.detail)
        return problem(request, type(error), error.detail)
    if isinstance(error, Unknown):
        log.warning("request.unknown", type=error.type, detail=error.detail)
    errors = [FieldProblem(field=error.field, detail=error.detail)] if error.field else []
    return problem(request, type(error), error.detail, errors)


async def _of_another_process(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Relayed)
    if issubclass(error.kind, Broken):
        log.error("law.broken", type=error.kind.type, detail=error.detail)
    return problem(request, error.kind, error.detail)


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = field_errors(error.errors())
    detail = "; ".join(f"{found.field}: {found.detail}" for found in errors[:5])
    return problem(request, InvalidInput, detail, errors)


async def _of_routing(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return problem(request, NotFound, "there is nothing at this address; GET /openapi.json lists what is")
        case 405:
            allow = ", ".join(_methods(request))
            return problem(request, MethodNotAllowed, f"allowed here: {allow}", headers={"Allow": allow})
        case 413:
            return problem(request, PayloadTooLarge, "send a smaller body")
        case _:
            return problem(request, InvalidInput, "the body cannot be read: send UTF-8 JSON, not too deep")


def _methods(request: Request) -> list[str]:
    """What this address offers over all its routes; Starlette names the first route's methods only."""
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


async def _of_database(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, sql.DBAPIError)
    state = str(getattr(error.orig, "sqlstate", "") or "")
    if (
        error.connection_invalidated
        or state.startswith(_CONNECTION_SQLSTATES)
        or isinstance(error, sql.InterfaceError)
    ):
        return await _of_connection(request, error)
    return failed(request, error)


async def _of_connection(request: Request, error: Exception) -> JSONResponse:
    log.warning("database.unavailable", error=type(error).__name__)
    return problem(request, DatabaseUnavailable, "the database does not answer; try again shortly")


async def _of_engine(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RPCError)
    log.warning("temporal.unavailable", status=error.status.name)
    return problem(request, EngineUnavailable, "the workflow engine does not answer; try again with the same key")


def failed(request: Request, error: Exception) -> JSONResponse:
    """The answer to what nobody foresaw. The log gets where it happened, not what was sent."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    log.error("request.failed", error=type(error).__name__, where=frames[-8:])
    return problem(request, Bug, "")


def _headers(status: int) -> dict[str, str]:
    if status == Unknown.status:
        return {"Retry-After": str(RETRY_SECONDS)}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return {"Retry-After": str(SLOW_DOWN_SECONDS)}
    return {"WWW-Authenticate": 'Bearer realm="liquida"'} if status == HTTPStatus.UNAUTHORIZED else {}


def _field(loc: tuple[int | str, ...]) -> str:
    names = [str(part) for part in loc[1:] if isinstance(part, str)] or [str(loc[0])]
    return ".".join(name if _PLAIN_NAME.fullmatch(name) else "(a name we do not know)" for name in names)


def _sentence(error: dict[str, Any]) -> str:
    kind = error["type"]
    return _SENTENCES.get(kind) or str(error["msg"])


_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "is not part of this request; remove it",
    "json_invalid": "is not valid JSON",
    "model_attributes_type": "must be a JSON object",
    "string_type": "must be a JSON string, amounts too",
    "string_unicode": "must be valid Unicode text",
    "string_pattern_mismatch": "is not of the form that the API's description gives for it",
}
