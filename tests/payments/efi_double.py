"""Efí as it is published: a real TLS server that demands a client certificate, checks every request and can fail.

What it accepts is kept, so a test can compare the bank's books with what the adapter says. A request that breaks
the published shape is answered as Efí does and kept in ``violations``.
"""

import asyncio
import base64
import hmac
import json
import re
import secrets
import socket
import ssl
import threading
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from payments.efi import EfiProvider
from payments.sandbox.app import DroppableProtocol

OUR_KEY = "71cdf9ba-c695-4e3c-b010-abb521a3f1be"
OWNERS = {"ana@example.com": "52998224725", "+5511987654321": "52998224725", "loja@example.com": "12ABC34501DE35"}
BCB = "https://pix.bcb.gov.br/api/v2/error/"
KEY = re.compile(r"[a-zA-Z0-9]{1,35}")
TXID = re.compile(r"[a-zA-Z0-9]{26,35}")
Money = Annotated[str, Field(pattern=r"^[0-9]{1,10}\.[0-9]{2}$")]
PixKey = Annotated[str, Field(min_length=1, max_length=77)]


class Mood(StrEnum):
    """What goes wrong with one request; ``AFTER``: the bank has done what it was asked."""

    TIMEOUT = "timeout"
    TIMEOUT_AFTER = "timeout_after"
    ERROR = "error"
    ERROR_AFTER = "error_after"
    DROP = "drop"
    DROP_AFTER = "drop_after"
    GARBAGE_AFTER = "garbage_after"
    TOO_MANY = "too_many"


AFTER = frozenset({Mood.TIMEOUT_AFTER, Mood.ERROR_AFTER, Mood.DROP_AFTER, Mood.GARBAGE_AFTER})


class Strict(BaseModel):
    """Efí lets no other field through: ``json_invalido``, "não são permitidas propriedades adicionais"."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Person(Strict):
    cpf: Annotated[str, Field(pattern=r"^[0-9]{11}$")] | None = None
    cnpj: Annotated[str, Field(pattern=r"^[0-9A-Z]{14}$")] | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.cpf is None) == (self.cnpj is None):
            raise ValueError("cpf or cnpj")
        return self

    @property
    def document(self) -> str:
        return self.cpf or self.cnpj or ""


class Debtor(Person):
    nome: Annotated[str, Field(min_length=1, max_length=200)]


class Payee(Person):
    chave: PixKey


class Payer(Strict):
    chave: PixKey
    infoPagador: Annotated[str, Field(max_length=140)] | None = None


class Send(Strict):
    """``PUT /v3/gn/pix/:idEnvio``"""

    valor: Money
    pagador: Payer
    favorecido: Payee


class Calendar(Strict):
    expiracao: Annotated[int, Field(ge=1)]


class Value(Strict):
    original: Money


class Cob(Strict):
    """``PUT /v2/cob/:txid``"""

    calendario: Calendar
    devedor: Debtor
    valor: Value
    chave: PixKey
    solicitacaoPagador: Annotated[str, Field(max_length=140)] | None = None


class Refund(Strict):
    """``PUT /v2/pix/:e2eId/devolucao/:id``"""

    valor: Money


class Answer(Exception):
    """One of Efí's errors, in Efí's own form or, with ``type``, in Bacen's."""

    def __init__(self, status: int, nome: str, mensagem: str) -> None:
        super().__init__(nome)
        self.status = status
        self.body: dict[str, Any] = {"nome": nome, "mensagem": mensagem}

    @classmethod
    def problem(cls, status: int, type: str, detail: str, **more: Any) -> Self:
        answer = cls(status, type, detail)
        answer.body = {"type": f"{BCB}{type}", "title": type, "status": status, "detail": detail, **more}
        return answer


class EfiDouble:
    """Use as a context manager. ``moods``: one for each of the next requests under ``/v2`` and ``/v3``.

    ``answers``: verbatim answers, by ``"GET /v2/..."``, before anything else is looked at.
    ``replays``: a repeated send is answered like the first (``/v3``); else 409 (``/v2``, and published for both).
    """

    def __init__(self, directory: Path, *, hang_seconds: float = 2.0) -> None:
        self.authority = Authority(directory)
        self.client_id, self.client_secret = (
            "Client_Id_" + secrets.token_hex(20),
            "Client_Secret_" + secrets.token_hex(20),
        )
        self.webhook_secret = secrets.token_urlsafe(32)
        self.hang_seconds = hang_seconds
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self.reset()

    def reset(self) -> None:
        self.moods: deque[Mood] = deque()
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.replays = False
        self.blocked = self.suspicious = False
        self.balance = 100_000_000
        self.token_seconds = 3_600
        self.tokens: set[str] = set()
        self.tokens_given = 0
        self.items_per_page = 100
        self.violations: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.payouts: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.received: dict[str, dict[str, Any]] = {}
        self.infractions: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        server = self.authority.issue("server", server=True)
        config = uvicorn.Config(
            self._app(),
            http=DroppableProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            ssl_certfile=str(server[0]),
            ssl_keyfile=str(server[1]),
            ssl_ca_certs=str(self.authority.certificate),
            ssl_cert_reqs=ssl.CERT_REQUIRED,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_seconds = 0
        self._server.should_exit = True
        self._thread.join(timeout=20)
        self._socket.close()

    def provider(self, **more: Any) -> EfiProvider:
        certificate, key = self.authority.issue("client")
        options: dict[str, Any] = {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "pix_key": OUR_KEY,
            "certificate": certificate,
            "certificate_key": key,
            "authorities": self.authority.certificate,
            "webhook_secrets": [self.webhook_secret],
            "timeout_seconds": 5.0,
        }
        return EfiProvider(self.url, **{**options, **more})

    # What happens at the bank, by the test's word.

    def settle(self, key: str, *, status: str = "REALIZADO", at: datetime | None = None, **more: Any) -> None:
        self.payouts[key]["status"] = status
        self.payouts[key]["horario"]["liquidacao"] = _time(at)
        self.payouts[key] |= more

    def send_back(self, key: str, valor: str, *, at: datetime | None = None, status: str = "DEVOLVIDO") -> str:
        back = {"rtrId": _id("D"), "valor": valor, "status": status, "motivo": "Devolvido pelo recebedor"}
        back["horario"] = {"solicitacao": _time(at), "liquidacao": _time(at)}  # type: ignore[assignment]
        self.payouts[key].setdefault("devolucoes", []).append(back)
        return str(back["rtrId"])

    def receive(self, valor: str, *, txid: str | None = None, at: datetime | None = None, **more: Any) -> str:
        pix = {"endToEndId": _id("E"), "valor": valor, "chave": OUR_KEY, "horario": _time(at), **more}
        if txid:
            pix["txid"] = txid
            self.charges[txid].setdefault("pix", []).append(pix)
            self.charges[txid]["status"] = "CONCLUIDA"
        self.received[str(pix["endToEndId"])] = pix
        return str(pix["endToEndId"])

    def settle_refund(
        self, end_to_end_id: str, key: str, status: str = "DEVOLVIDO", motivo: str | None = None
    ) -> None:
        (back,) = (each for each in self.received[end_to_end_id]["devolucoes"] if each["id"] == key)
        back["status"] = status
        back["horario"]["liquidacao"] = _time(None)
        if motivo:
            back["motivo"] = motivo

    # What it answers.

    def _app(self) -> Starlette:
        routes = [
            Route("/oauth/token", self._token, methods=["POST"]),
            self._route("PUT", "/v3/gn/pix/{key}", self._send),
            self._route("GET", "/v2/gn/pix/enviados/id-envio/{key}", self._find_sent),
            self._route("GET", "/v2/gn/pix/enviados", self._list_sent),
            self._route("GET", "/v2/pix", self._list_received),
            self._route("GET", "/v2/pix/{e2e}", self._find_received),
            self._route("GET", "/v2/gn/infracoes", self._list_infractions),
            self._route("GET", "/v2/gn/saldo", self._balance),
            self._route("PUT", "/v2/cob/{key}", self._charge),
            self._route("GET", "/v2/cob/{key}", self._find_charge),
            self._route("PUT", "/v2/pix/{e2e}/devolucao/{key}", self._refund),
            self._route("GET", "/v2/pix/{e2e}/devolucao/{key}", self._find_refund),
        ]
        return Starlette(routes=routes)

    def _route(self, method: str, path: str, do: Any) -> Route:
        async def answer(request: Request) -> Response:
            self.requests.append((method, request.url.path))
            scripted = self.answers.get(f"{method} {request.url.path}")
            if scripted:
                return Response(scripted[1], scripted[0], media_type="application/json")
            if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
                return JSONResponse({"error": "invalid_token", "error_description": "The access token expired"}, 401)
            mood = self.moods.popleft() if self.moods else None
            if mood and mood not in AFTER:
                return await self._fail(mood, request)
            try:
                status, body = do(request, await request.body())
            except Answer as error:
                status, body = error.status, error.body
            except Exception as error:
                self.violations.append(f"{method} {request.url.path} {error!r}")
                raise
            return await self._fail(mood, request) if mood else JSONResponse(body, status)

        return Route(path, answer, methods=[method])

    async def _fail(self, mood: Mood, request: Request) -> Response:
        match mood:
            case Mood.TIMEOUT | Mood.TIMEOUT_AFTER:
                for _ in range(int(self.hang_seconds / 0.02)):
                    if not self.hang_seconds or await request.is_disconnected():
                        break
                    await asyncio.sleep(0.02)
            case Mood.DROP | Mood.DROP_AFTER:
                request.state.transport.abort()
            case Mood.GARBAGE_AFTER:
                return PlainTextResponse("<html>bad gateway</html>", 200)
            case Mood.TOO_MANY:
                problem = Answer.problem(429, "BaldeFichasVazio", "Não há fichas no balde a serem consumidas")
                return JSONResponse(problem.body, 429, headers={"retry-after": "60"})
        return JSONResponse({"nome": "erro_aplicacao", "mensagem": "Ocorreu um erro ao validar a chave"}, 500)

    async def _token(self, request: Request) -> Response:
        expected = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if not hmac.compare_digest(request.headers.get("authorization", ""), f"Basic {expected}"):
            return JSONResponse(
                {"error": "invalid_client", "error_description": "Invalid or inactive credentials"}, 401
            )
        if json.loads(await request.body()) != {"grant_type": "client_credentials"}:
            self.violations.append("POST /oauth/token")
            return JSONResponse({"error": "invalid_request"}, 400)
        token = secrets.token_urlsafe(24)
        self.tokens.add(token)
        self.tokens_given += 1
        scope = "cob.read cob.write pix.read pix.send pix.write gn.pix.send.read gn.balance.read"
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds, "scope": scope}
        )

    def _send(self, request: Request, raw: bytes) -> tuple[int, Any]:
        key, body = self._key(request), self._body(Send, request, raw)
        known = self.payouts.get(key)
        self._may_send(body)
        if known and not (self.replays and known["_content"] == raw):
            raise Answer(409, "id_envio_duplicado", "O id de envio informado já foi utilizado em outro pagamento")
        if not known:
            self.balance -= _centavos(body.valor)
            self.payouts[key] = known = {
                "_content": raw,
                "endToEndId": _id("E"),
                "idEnvio": key,
                "valor": body.valor,
                "chave": OUR_KEY,
                "status": "EM_PROCESSAMENTO",
                "horario": {"solicitacao": _time(None)},
                "favorecido": {
                    "chave": body.favorecido.chave,
                    "identificacao": {"nome": "Ana Silva", "cpf": "***.982.247-**"},
                },
            }
        answer = {name: known[name] for name in ("idEnvio", "valor", "horario", "status")}
        return 201, answer | {"e2eId": known["endToEndId"]}

    def _may_send(self, body: Send) -> None:
        if self.blocked:
            raise Answer(400, "documento_bloqueado", "O documento desta conta tem bloqueios que impedem a emissão")
        if body.pagador.chave != OUR_KEY:
            raise Answer(400, "chave_invalida", "A chave informada não faz referência à conta Efí autenticada")
        if _centavos(body.valor) == 0:
            raise Answer(400, "valor_invalido", "Campo valor.original deve ser maior que zero")
        if body.favorecido.chave not in OWNERS:
            raise Answer(404, "chave_favorecido_nao_encontrada", "A chave do favorecido não foi encontrada")
        if body.favorecido.document != OWNERS[body.favorecido.chave]:
            detail = "O cpf do favorecido é diferente do documento em posse da chave"
            raise Answer(400, "chave_nao_pertence_ao_documento", detail)
        if self.suspicious:
            raise Answer(422, "pagamento_negado", "Pagamento negado por análises")
        if _centavos(body.valor) > self.balance:  # published for /qrcode only
            violation = {"razao": "Saldo insuficiente para realizar o pagamento", "propriedade": "pagador"}
            raise Answer.problem(400, "OperacaoInvalida", "Semanticamente errada.", violacoes=[violation])

    def _find_sent(self, request: Request, _: bytes) -> tuple[int, Any]:
        return 200, _public(self._known_sent(self.payouts.get(request.path_params["key"])))

    def _known_sent(self, found: Any) -> Any:
        if not found:
            detail = "Pix enviado não encontrado para o idEnvio informado."
            raise Answer.problem(404, "PixEnviadoNaoEncontrado", detail)
        return found

    def _list_sent(self, request: Request, _: bytes) -> tuple[int, Any]:
        pages = self._page(request, list(self.payouts.values()), lambda pix: pix["horario"]["solicitacao"])
        return self._known_sent(pages["pix"]) and (200, pages)

    def _list_received(self, request: Request, _: bytes) -> tuple[int, Any]:
        return 200, self._page(request, list(self.received.values()), lambda pix: pix["horario"])

    def _find_received(self, request: Request, _: bytes) -> tuple[int, Any]:
        pix = self.received.get(request.path_params["e2e"])
        if pix is None:
            raise Answer(400, "pix_nao_encontrado", "Nenhum pix encontrado para o identificador informado")
        return 200, _public(pix)

    def _list_infractions(self, request: Request, _: bytes) -> tuple[int, Any]:
        pages = self._page(request, self.infractions, lambda infraction: infraction["criadoEm"])
        return 200, {"parametros": pages["parametros"], "infracoes": pages["pix"]}

    def accuse(self, end_to_end_id: str, valor: str, status: str = "ABERTA", **more: Any) -> str:
        """A payer's bank claims a receipt; the infraction's id."""
        infraction = {
            "idInfracao": str(uuid.uuid4()),
            "endToEndId": end_to_end_id,
            "protocolo": "1313",
            "dataTransacao": _time(None),
            "valor": valor,
            "chave": OUR_KEY,
            "status": status,
            "razao": "Solicitação de devolução",
            "tipoSituacao": "golpe",
            "comentario": "Foi a Ana, CPF 529.982.247-25",
            "identificadorTicket": [94],
            "dadosAnalise": {"abertura": _time(None), "prazoFinalizacao": _time(None)},
            "criadoEm": _time(None),
        }
        self.infractions.append(infraction | more)
        return str(self.infractions[-1]["idInfracao"])

    def _page(self, request: Request, all_pix: list[dict[str, Any]], time_of: Any) -> dict[str, Any]:
        query = request.query_params
        start, end = (datetime.fromisoformat(query[name]) for name in ("inicio", "fim"))
        number, asked = int(query["paginacao.paginaAtual"]), int(query["paginacao.itensPorPagina"])
        if end < start or not 1 <= asked <= 1_000:
            self.violations.append(str(request.url))
            raise Answer(400, "valor_invalido", "Campo de data fim deve ser maior ou igual ao campo de data inicio")
        only_returned = query.get("devolucaoPresente") == "true"
        matching = [
            _public(pix)
            for pix in all_pix
            if start <= datetime.fromisoformat(time_of(pix)) <= end and (pix.get("devolucoes") or not only_returned)
        ]
        size = min(asked, self.items_per_page)
        paging = {
            "paginaAtual": number,
            "itensPorPagina": size,
            "quantidadeDePaginas": max(1, -(-len(matching) // size)),
            "quantidadeTotalDeItens": len(matching),
        }
        parameters = {"inicio": query["inicio"], "fim": query["fim"], "paginacao": paging}
        return {"parametros": parameters, "pix": matching[number * size : (number + 1) * size]}

    def _balance(self, _: Request, __: bytes) -> tuple[int, Any]:
        return 200, {"saldo": f"{self.balance / 100:.2f}"}

    def _charge(self, request: Request, raw: bytes) -> tuple[int, Any]:
        key, body = self._key(request, TXID), self._body(Cob, request, raw)
        if self.blocked:
            raise Answer(400, "documento_bloqueado", "O documento desta conta tem bloqueios que impedem a emissão")
        if _centavos(body.valor.original) == 0:
            raise Answer(400, "valor_invalido", "Campo valor.original deve ser maior que zero")
        if key in self.charges:
            raise Answer(409, "txid_duplicado", "Campo txid informado já foi utilizado em outra cobrança")
        self.charges[key] = {
            "calendario": {"criacao": _time(None), "expiracao": body.calendario.expiracao},
            "txid": key,
            "revisao": 0,
            "loc": {"id": 789, "location": f"qrcodespix.sejaefi.com.br/v2/{uuid.uuid4().hex}", "tipoCob": "cob"},
            "status": "ATIVA",
            **body.model_dump(include={"devedor", "valor", "chave", "solicitacaoPagador"}, exclude_none=True),
            "pixCopiaECola": f"00020101021226830014BR.GOV.BCB.PIX2561qrcodespix.sejaefi.com.br/v2/{key}6304ABCD",
        }
        return 201, self.charges[key]

    def _find_charge(self, request: Request, _: bytes) -> tuple[int, Any]:
        found = self.charges.get(request.path_params["key"])
        if not found:
            raise Answer(400, "cobranca_nao_encontrada", "Nenhuma cobrança encontrada para o txid informado")
        return 200, found | {"calendario": found["calendario"] | {"expiracao": str(found["calendario"]["expiracao"])}}

    def _refund(self, request: Request, raw: bytes) -> tuple[int, Any]:
        key, body, backs = self._key(request), self._body(Refund, request, raw), self._backs(request)
        if any(back["id"] == key for back in backs):
            raise Answer(409, "devolucao_id_duplicado", "O id informado já foi utilizado em outra devolução")
        pix = self.received[request.path_params["e2e"]]
        if _centavos(body.valor) + sum(_centavos(back["valor"]) for back in backs) > _centavos(pix["valor"]):
            raise Answer(400, "valor_invalido", "O valor da devolução é maior que o disponível")
        back = {"id": key, "rtrId": _id("D"), "valor": body.valor, "horario": {"solicitacao": _time(None)}}
        backs.append(back | {"status": "EM_PROCESSAMENTO"})
        return 201, backs[-1]

    def _find_refund(self, request: Request, _: bytes) -> tuple[int, Any]:
        found = [back for back in self._backs(request) if back["id"] == request.path_params["key"]]
        if not found:
            raise Answer(
                400, "devolucao_nao_encontrada", "Nenhuma devolução encontrada para o identificador informado"
            )
        return 200, found[0]

    def _backs(self, request: Request) -> list[dict[str, Any]]:
        pix = self.received.get(request.path_params["e2e"])
        if pix is None:
            raise Answer(400, "pix_nao_encontrado", "Nenhum pix encontrado para o identificador informado")
        backs: list[dict[str, Any]] = pix.setdefault("devolucoes", [])
        return backs

    def _key(self, request: Request, shape: re.Pattern[str] = KEY) -> str:
        key = str(request.path_params["key"])
        if not shape.fullmatch(key):
            self.violations.append(f"{request.method} {request.url.path}")
            raise Answer(400, "json_invalido", "Valores ou tipos de campo inválidos")
        return key

    def _body(self, shape: type[Any], request: Request, raw: bytes) -> Any:
        try:
            if request.headers.get("content-type") != "application/json":
                raise ValueError("content-type")
            return shape.model_validate_json(raw)
        except (ValidationError, ValueError):
            self.violations.append(f"{request.method} {request.url.path} {raw!r}")
            raise Answer(400, "json_invalido", "Valores ou tipos de campo inválidos") from None


class Authority:
    """A certificate authority that nobody else believes. Files are PEM."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test authority {uuid.uuid4().hex}")])
        self.certificate = directory / f"{uuid.uuid4().hex}-authority.pem"
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, server: bool = False) -> tuple[Path, Path]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self._directory / f"{uuid.uuid4().hex}-{name}.pem", self._directory / f"{uuid.uuid4().hex}-{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _builder(self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )


def _public(pix: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pix.items() if not name.startswith("_")}


def _centavos(valor: str) -> int:
    return int(valor.replace(".", ""))


def _id(letter: str) -> str:
    return f"{letter}09089356{datetime.now(UTC):%Y%m%d%H%M}{secrets.token_hex(6)[:11]}"


def _time(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
