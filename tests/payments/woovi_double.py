"""Woovi as its documents describe it, in this process: books in memory, real HTTP on a loopback port.

It checks our requests against the published shapes (``static/swaggers/woovi.json`` of woovibr/woovi-developers)
and keeps every violation. It pays when a payment is approved, and ``times_paid`` counts that by key, so a test
sees a second payment whatever the answers were.
"""

import asyncio
import base64
import re
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from payments.sandbox.app import DroppableProtocol

APP_ID = "Q2xpZW50X0lkX2RvdWJsZTpDbGllbnRfU2VjcmV0X2RvdWJsZQ=="
SAYS_DUPLICATE = "Já existe um pagamento com o correlationID fornecido"
SAYS_NO_BALANCE = "Você não possui saldo o suficiente para realizar esse pagamento"
SAYS_ALREADY_APPROVED = "Esse pagamento já foi aprovado"
HANG_SECONDS = 5.0
SLOW_SECONDS = 0.3


class Fault(StrEnum):
    """``*_BEFORE``: nothing was done. ``*_AFTER``: it was done, and the answer is lost or spoiled. The others get their answer."""

    HANG_BEFORE = "hang_before"
    ERROR_BEFORE = "error_before"
    DROP_BEFORE = "drop_before"
    HANG_AFTER = "hang_after"
    ERROR_AFTER = "error_after"
    DROP_AFTER = "drop_after"
    GARBAGE_AFTER = "garbage_after"
    TWICE = "twice"
    SLOW = "slow"


class _Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


class CheckPayload(_Strict):
    pixKey: Annotated[str, Field(min_length=1, max_length=77)]


class PaymentCreatePayload(_Strict):
    """The variant "Pix key" of the schema of this name; ``autoApprove`` would skip our two steps."""

    type: Literal["PIX_KEY"]
    value: Annotated[int, Field(gt=0)]
    destinationAlias: Annotated[str, Field(min_length=1, max_length=77)]
    destinationAliasType: Literal["CPF", "CNPJ", "EMAIL", "PHONE", "RANDOM"]
    correlationID: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,35}$")]
    pixKeyEndToEndId: str | None = None
    comment: Annotated[str, Field(max_length=140)] = ""


class PaymentApprovePayload(_Strict):
    correlationID: Annotated[str, Field(min_length=1)]


class CustomerPayload(_Strict):
    name: Annotated[str, Field(min_length=1)]
    taxID: Annotated[str, Field(pattern=r"^([0-9]{11}|[0-9A-Z]{12}[0-9]{2})$")]


class ChargePayload(_Strict):
    correlationID: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,35}$")]
    value: Annotated[int, Field(gt=0)]
    type: Literal["DYNAMIC"]
    comment: Annotated[str, Field(max_length=140)]
    expiresIn: Annotated[int, Field(ge=300)]
    customer: CustomerPayload


class RefundPayload(_Strict):
    transactionEndToEndId: str
    correlationID: Annotated[str, Field(min_length=1)]
    value: Annotated[int, Field(gt=0)]


class EvidenceDocument(_Strict):
    """``url`` or ``fileId``, never both."""

    fileId: Annotated[str, Field(min_length=1)]
    description: str
    correlationID: Annotated[str, Field(min_length=1)]


class EvidencePayload(_Strict):
    documents: Annotated[list[EvidenceDocument], Field(min_length=1)]


@dataclass
class Payment:
    content: PaymentCreatePayload
    status: str = "CREATED"
    end_to_end_id: str | None = None
    rejected_reason: str | None = None
    error_code: str | None = None
    transaction_status: str = "CONFIRMED"


@dataclass
class Woovi:
    """Start it with ``with``. Its books are plain attributes: tests read and change them."""

    balance: int = 10_000_000
    holder_tax_id: str = "529.***.***-25"
    """What DICT shows of every key's holder."""
    says: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """What a step answers whatever it is asked, having done nothing."""
    payments: dict[str, Payment] = field(default_factory=dict)
    times_paid: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    transactions: list[dict[str, Any]] = field(default_factory=list)
    statement: list[dict[str, Any]] = field(default_factory=list)
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """By the correlationID they were stored under."""
    evidence: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Files by the dispute they were handed in for."""
    takes_files: bool = True
    public_keys: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    destination: dict[str, Any] | None = field(
        default_factory=lambda: {"name": "Ana Silva", "taxID": "52998224725", "bank": "A Bank"}
    )

    def __enter__(self) -> Self:
        config = uvicorn.Config(
            self._app(), port=0, http=DroppableProtocol, log_level="critical", access_log=False, lifespan="off"
        )
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            threading.Event().wait(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def reset(self) -> None:
        """New books, good weather."""
        vars(self).update(vars(type(self)()))

    def fail(self, step: str, *faults: Fault) -> None:
        """The next calls of this step go wrong so, one each."""
        self.faults[step].extend(faults)

    def settle(
        self, key: str, status: str = "CONFIRMED", *, reason: str | None = None, code: str | None = None
    ) -> None:
        payment = self.payments[key]
        payment.status, payment.rejected_reason, payment.error_code = status, reason, code

    def pay_charge(
        self, key: str, *, value: int, tax_id: str | None = "52998224725", complete: bool = True, **changes: Any
    ) -> str:
        """A PIX arrives for the charge; returns its end-to-end id."""
        end_to_end_id = _spi_id("E")
        charge = self.charges[key]
        if complete:
            charge["status"] = "COMPLETED"
        self.transactions.append(
            {
                "charge": {"status": charge["status"], "correlationID": key, "value": charge["value"]},
                "payer": {"name": "Ana Silva", "taxID": {"taxID": tax_id, "type": "BR:CPF"}},
                "value": value,
                "time": _now(),
                "endToEndId": end_to_end_id,
                "transactionID": charge["transactionID"],
                "type": "PAYMENT",
                "status": "CONFIRMED",
                "globalID": _global_id(),
            }
            | changes
        )
        return end_to_end_id

    def _app(self) -> Starlette:
        routes = {
            "check": ("POST", "/api/v1/pix-keys/check", self._check),
            "create": ("POST", "/api/v1/payment", self._create),
            "approve": ("POST", "/api/v1/payment/approve", self._approve),
            "find": ("GET", "/api/v1/payment/{id}", self._find),
            "transaction": ("GET", "/api/v1/transaction/{id}", self._transaction),
            "transactions": ("GET", "/api/v1/transaction", self._transactions),
            "statement": ("GET", "/api/v1/statement", self._statement),
            "accounts": ("GET", "/api/v1/account/", self._accounts),
            "charge": ("POST", "/api/v1/charge", self._charge),
            "find_charge": ("GET", "/api/v1/charge/{id}", self._find_charge),
            "refund": ("POST", "/api/v1/refund", self._refund),
            "find_refund": ("GET", "/api/v1/refund/{id}", self._find_refund),
            "dispute": ("GET", "/api/v1/dispute/{id}", self._dispute),
            "evidence": ("POST", "/api/v1/dispute/{id}/evidence", self._evidence),
            "files": ("POST", "/api/v1/files", self._files),
            "public_keys": ("GET", "/api/v1/webhook/public-keys", self._public_keys),
        }
        return Starlette(
            routes=[
                Route(path, self._door(step, handler), methods=[method])
                for step, (method, path, handler) in routes.items()
            ]
        )

    def _door(
        self, step: str, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """What every call meets: the key of the door, and the weather."""

        async def answer(request: Request) -> Response:
            self.calls.append(step)
            body = await request.body()
            if step == "public_keys":
                if "authorization" in request.headers:
                    self.violations.append("public_keys: the AppID is told to whom it does not concern")
            elif request.headers.get("authorization") != APP_ID:
                return JSONResponse({"error": "appID inválido"}, 401)
            kind = "multipart/form-data" if step == "files" else "application/json"
            if request.method == "POST" and request.headers.get("content-type", "").partition(";")[0] != kind:
                self.violations.append(f"{step}: content-type")
            if request.method == "GET" and body:
                self.violations.append(f"{step}: a GET with a body")
            fault = self.faults[step].popleft() if self.faults[step] else None
            if fault and fault.endswith("before"):
                return await self._spoil(fault, request)
            if step in self.says:
                status, text = self.says[step]
                return Response(text, status, media_type="application/json")
            if fault is Fault.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            result = await handler(request)
            if fault is Fault.TWICE:
                return await handler(request)
            if fault is Fault.SLOW:
                return result
            return await self._spoil(fault, request) if fault else result

        return answer

    async def _spoil(self, fault: Fault, request: Request) -> Response:
        match fault.partition("_")[0]:
            case "hang":
                for _ in range(int(HANG_SECONDS / 0.05)):
                    if await request.is_disconnected():
                        break
                    await asyncio.sleep(0.05)
            case "drop":
                request.state.transport.abort()
            case "garbage":
                return Response(b'{"payment": {"status": "CONF', media_type="application/json")
        return JSONResponse({"error": "Internal Server Error"}, 504)

    async def _read(self, request: Request, shape: type[_Strict]) -> Any:
        try:
            return shape.model_validate_json(await request.body())
        except ValidationError as error:
            self.violations += [f"{shape.__name__}: {each['loc']} {each['msg']}" for each in error.errors()]
            return None

    async def _check(self, request: Request) -> Response:
        order = await self._read(request, CheckPayload)
        if order is None:
            return _no("Invalid pix key")
        return JSONResponse(
            {
                "pixKeyEndToEndId": _spi_id("E"),
                "pixKey": order.pixKey,
                "type": "EMAIL",
                "owner": {"name": "Ana Silva", "taxID": self.holder_tax_id, "psp": "12345678"},
            }
        )

    async def _create(self, request: Request) -> Response:
        order = await self._read(request, PaymentCreatePayload)
        if order is None:
            return _no("Dados inválidos")
        if order.correlationID in self.payments:
            return _no(SAYS_DUPLICATE)
        self.payments[order.correlationID] = Payment(order)
        return JSONResponse(_view(self.payments[order.correlationID]))

    async def _approve(self, request: Request) -> Response:
        order = await self._read(request, PaymentApprovePayload)
        if order is None or order.correlationID not in self.payments:
            return _no("Pagamento não encontrado")
        payment = self.payments[order.correlationID]
        if payment.status != "CREATED":
            return _no(SAYS_ALREADY_APPROVED)
        if payment.content.value > self.balance:
            return _no(SAYS_NO_BALANCE)
        self.balance -= payment.content.value
        self.times_paid[order.correlationID] += 1
        payment.status, payment.end_to_end_id = "APPROVED", _spi_id("E")
        return JSONResponse(_view(payment) | ({"destination": self.destination} if self.destination else {}))

    async def _find(self, request: Request) -> Response:
        payment = self.payments.get(request.path_params["id"])
        if payment is None:
            return _no("Pagamento não encontrado")
        approved = payment.status != "CREATED" and self.destination
        return JSONResponse(_view(payment) | ({"destination": self.destination} if approved else {}))

    async def _transaction(self, request: Request) -> Response:
        for received in self.transactions:
            if received["endToEndId"] == request.path_params["id"]:
                return JSONResponse({"transaction": received})
        for payment in self.payments.values():
            if payment.end_to_end_id == request.path_params["id"]:
                return JSONResponse(
                    {
                        "transaction": {
                            "value": payment.content.value,
                            "time": _now(),
                            "endToEndId": payment.end_to_end_id,
                            "status": payment.transaction_status,
                            "type": "PAYMENT",
                        }
                    }
                )
        return _no("Transação não encontrada")

    async def _transactions(self, request: Request) -> Response:
        self._page(request, "transactions", also={"start", "end", "charge"})
        charge = request.query_params.get("charge")
        found = [
            each
            for each in self.transactions
            if charge is None or each.get("charge", {}).get("correlationID") == charge
        ]
        skip, limit = int(request.query_params["skip"]), int(request.query_params["limit"])
        page = {"skip": skip, "limit": limit, "hasPreviousPage": skip > 0, "hasNextPage": len(found) > skip + limit}
        return JSONResponse({"status": "OK", "pageInfo": page, "transactions": found[skip : skip + limit]})

    async def _statement(self, request: Request) -> Response:
        self._page(request, "statement", also={"start", "end"})
        start, end = (datetime.fromisoformat(request.query_params[name]) for name in ("start", "end"))
        found = [each for each in self.statement if start <= datetime.fromisoformat(each["time"]) <= end]
        skip, limit = int(request.query_params["skip"]), int(request.query_params["limit"])
        return JSONResponse(found[skip : skip + limit])

    def _page(self, request: Request, step: str, *, also: set[str]) -> None:
        query = request.query_params
        if unknown := set(query) - also - {"skip", "limit"}:
            self.violations.append(f"{step}: {sorted(unknown)}")
        if not (query.get("skip", "").isdigit() and query.get("limit", "").isdigit() and int(query["limit"]) <= 100):
            self.violations.append(f"{step}: skip or limit")
        for name in {"start", "end"} & set(query):
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", query[name]):
                self.violations.append(f"{step}: {name} is not RFC 3339")

    async def _accounts(self, request: Request) -> Response:
        def account(name: str, available: int, *, default: bool) -> dict[str, Any]:
            balance = {"total": available + 100, "blocked": 100, "available": available}
            return {"accountId": name, "isDefault": default, "balance": balance}

        return JSONResponse(
            {"accounts": [account("b", 130, default=False), account("a", self.balance, default=True)]}
        )

    async def _charge(self, request: Request) -> Response:
        order = await self._read(request, ChargePayload)
        if order is None:
            return _no("Dados inválidos")
        if order.correlationID not in self.charges:
            self.charges[order.correlationID] = {
                "status": "ACTIVE",
                "value": order.value,
                "comment": order.comment,
                "correlationID": order.correlationID,
                "transactionID": uuid.uuid4().hex,
                "brCode": "00020126580014br.gov.bcb.pix",
                "expiresIn": order.expiresIn,
            }
        elif request.query_params.get("return_existing") != "true":
            return _no("Já existe uma cobrança com o correlationID fornecido")
        charge = self.charges[order.correlationID]
        return JSONResponse({"charge": charge, "correlationID": order.correlationID, "brCode": charge["brCode"]})

    async def _find_charge(self, request: Request) -> Response:
        charge = self.charges.get(request.path_params["id"])
        return JSONResponse({"charge": charge}) if charge else _no("Cobrança não encontrada")

    async def _refund(self, request: Request) -> Response:
        order = await self._read(request, RefundPayload)
        if order is None:
            return _no("Dados inválidos")
        if order.correlationID in self.refunds:
            return _no("Já existe um reembolso com o correlationID fornecido")
        self.times_paid[order.correlationID] += 1
        self.refunds[order.correlationID] = {
            "status": "IN_PROCESSING",
            "value": order.value,
            "correlationID": order.correlationID,
            "refundId": uuid.uuid4().hex,
            "time": _now(),
        }
        return JSONResponse({"refund": self.refunds[order.correlationID]})

    async def _find_refund(self, request: Request) -> Response:
        refund = self.refunds.get(request.path_params["id"])
        return JSONResponse({"pixTransactionRefund": refund}) if refund else _no("Reembolso não encontrado")

    async def _dispute(self, request: Request) -> Response:
        dispute = self.disputes.get(request.path_params["id"])
        return JSONResponse({"dispute": dispute}) if dispute else _no("Disputa não encontrada")

    async def _files(self, request: Request) -> Response:
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        parts: dict[str, Any] = {}
        for part in BytesParser(policy=HTTP).parsebytes(head + await request.body()).iter_parts():
            content = part.get_payload(decode=True)
            parts[str(part.get_param("name", header="content-disposition"))] = (part.get_content_type(), content)
        key, (kind, content) = parts["correlationID"][1].decode(), parts["file"]
        if set(parts) != {"file", "purpose", "correlationID"} or parts["purpose"][1] != b"DISPUTE_EVIDENCE":
            self.violations.append(f"files: {sorted(parts)}")
        if kind != "application/pdf" or not content.startswith(b"%PDF-"):
            return JSONResponse({"error": "content type"}, 415)
        status = 200 if key in self.files else 201
        stored = self.files.setdefault(key, content)
        return JSONResponse(
            {"file": {"id": f"file-{key}", "correlationID": key, "contentType": kind, "size": len(stored)}}, status
        )

    async def _evidence(self, request: Request) -> Response:
        order = await self._read(request, EvidencePayload)
        dispute = self.disputes.get(request.path_params["id"])
        if order is None or dispute is None:
            return _no("Disputa não encontrada")
        if not self.takes_files:
            sentence = "Your account does not have the permission to send a evidence by fileId"
            return JSONResponse({"error": sentence, "errorCode": "DISPUTE_EVIDENCE_FILE_ID_NOT_ALLOWED"}, 403)
        if dispute["status"] not in {"OPENED", "IN_REVIEW"}:
            return _no("A disputa já foi encerrada")
        self.evidence[request.path_params["id"]] += [each.fileId for each in order.documents]
        return JSONResponse({"documents": [each.model_dump() for each in order.documents]})

    async def _public_keys(self, request: Request) -> Response:
        return JSONResponse(
            {"public_keys": [{"key_identifier": "0", "is_current": True, "key": key} for key in self.public_keys]}
        )


def _no(sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, 400)


def _view(payment: Payment) -> dict[str, Any]:
    content = payment.content
    view: dict[str, Any] = {
        "payment": {
            "type": content.type,
            "value": content.value,
            "status": payment.status,
            "destinationAlias": content.destinationAlias,
            "destinationAliasType": content.destinationAliasType,
            "comment": content.comment,
            "correlationID": content.correlationID,
            "sourceAccountId": "my-source-account-id",
        }
    }
    if payment.end_to_end_id:
        view["transaction"] = {"value": content.value, "endToEndId": payment.end_to_end_id, "time": _now()}
        if payment.rejected_reason:
            view["transaction"]["providerRejectedReason"] = payment.rejected_reason
        if payment.error_code:
            view["transaction"]["providerErrorCode"] = payment.error_code
    return view


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _spi_id(letter: str) -> str:
    return f"{letter}54811417{datetime.now(UTC):%Y%m%d%H%M}{uuid.uuid4().hex[:11]}"


def _global_id() -> str:
    return base64.b64encode(f"PixTransaction:{uuid.uuid4().hex[:24]}".encode()).decode()
