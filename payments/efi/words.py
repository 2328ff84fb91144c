"""Efí's words and ours. What it may add later is let through; what it says of money must be exact.

Its lists of values may grow (bacen/pix-api, "evolução"), so a status never heard of means "not final yet".
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from models.errors import InvalidInput, PayoutUnknown
from payments.pix_key import parse_tax_id
from payments.protocol import ChargeState, PayoutState, RefundState

SENT_STATES = {
    "EM_PROCESSAMENTO": PayoutState.PROCESSING,
    "REALIZADO": PayoutState.PAID,
    "NAO_REALIZADO": PayoutState.REJECTED,
}
CHARGE_STATES = {
    "ATIVA": ChargeState.ACTIVE,
    "CONCLUIDA": ChargeState.PAID,
    "REMOVIDA_PELO_USUARIO_RECEBEDOR": ChargeState.REMOVED,
    "REMOVIDA_PELO_PSP": ChargeState.REMOVED,
    # Bacen's prose and its enum disagree on the ending.
    "REMOVIDO_PELO_USUARIO_RECEBEDOR": ChargeState.REMOVED,
    "REMOVIDO_PELO_PSP": ChargeState.REMOVED,
}
REFUND_STATES = {
    "EM_PROCESSAMENTO": RefundState.PROCESSING,
    "DEVOLVIDO": RefundState.REFUNDED,
    "NAO_REALIZADO": RefundState.REJECTED,
}
RETURNED = "DEVOLVIDO"
LEFT_US = frozenset({"REALIZADO", RETURNED})
"""Statuses of a sent PIX that was settled; ``DEVOLVIDO`` is reported from the field and in no published list."""

TAKEN_BACK = frozenset({"MED_OPERACIONAL", "MED_FRAUDE", "MED_PIX_AUTOMATICO"})
"""Kinds of devolução (Bacen API Pix, ``natureza``) that are the bank's and not ours."""

PARTLY_RETURNED = "PARTIAL_RETURN"
INFO_LENGTH_MAX = 139
REASON_LENGTH_MAX = 140

_MONEY = re.compile(r"-?[0-9]{1,13}\.[0-9]{2}")
_CODE = re.compile(r"[A-Za-z_]{1,60}")
_SPI_CODE = re.compile(r"[A-Z]{2,4}[0-9]{0,2}[A-Z]?")
_PERSONAL = re.compile(r"\S*(?:@|[0-9]{3})\S*")


def reais(centavos: int) -> str:
    """``reais(1_050) == "10.50"``."""
    return f"{centavos // 100}.{centavos % 100:02d}"


def _signed_centavos(value: object) -> int:
    # A JSON number would be reais or centavos, float or not; the schema says string and we do not guess.
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise ValueError("reais are a string such as '12.34'")
    return int(value.replace(".", ""))


def _centavos(value: object) -> int:
    centavos = _signed_centavos(value)
    if centavos < 0:
        raise ValueError("an amount is not negative")
    return centavos


def one_or_many(value: Any) -> Any:
    """Bacen's example of a webhook has an object where its schema has an array."""
    return [] if value is None else [value] if isinstance(value, dict) else value


Centavos = Annotated[int, BeforeValidator(_centavos)]
SignedCentavos = Annotated[int, BeforeValidator(_signed_centavos)]


class Words(BaseModel):
    """Their camelCase under our names; other fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, hide_input_in_errors=True)


class Devolucao(Words):
    """All or part of a PIX sent back. ``id`` is ours where we sent it back."""

    id: str | None = None
    rtr_id: str | None = None
    valor: Centavos
    status: str
    natureza: str | None = None
    motivo: str | None = None


Devolucoes = Annotated[list[Devolucao], BeforeValidator(one_or_many)]


class Payee(Words):
    chave: str | None = None


class SpiError(Words):
    codigo: str | None = None


class SentExtras(Words):
    erro: SpiError | None = None


class SentPix(Words):
    """``GET /v2/gn/pix/enviados/...``"""

    id_envio: str | None = None
    end_to_end_id: str | None = None
    valor: Centavos
    status: str
    motivo: str | None = None
    favorecido: Payee | None = None
    devolucoes: Devolucoes = Field(default_factory=list)
    gn_extras: SentExtras | None = None


class AcceptedPix(Words):
    """The answer to ``PUT /v3/gn/pix/:idEnvio``."""

    id_envio: str
    e2e_id: str | None = Field(None, alias="e2eId")
    valor: Centavos
    status: str


class Balance(Words):
    saldo: SignedCentavos


class Violation(Words):
    razao: str = ""


class Problem(Words):
    """Efí's own ``nome`` and ``mensagem``, Bacen's RFC 7807, or OAuth's ``error``."""

    nome: str | None = None
    mensagem: str = ""
    type: str | None = None
    detail: str = ""
    error: str | None = None
    violacoes: list[Violation] = Field(default_factory=list)

    @property
    def code(self) -> str:
        """``id_envio_duplicado``, ``PixEnviadoNaoEncontrado``: one word, or empty."""
        word = self.nome or (self.type or "").rpartition("/")[2] or self.error or ""
        return word if _CODE.fullmatch(word) else ""

    @property
    def is_short_of_balance(self) -> bool:
        """Efí publishes no code for it on a payout, only this sentence (``/qrcode``, devoluções).

        A sentence is too weak to refuse anything, and strong enough to wait and to send the same key again.
        """
        said = (self.mensagem, self.detail, *(each.razao for each in self.violacoes))
        return self.code == "saldo_insuficiente" or any(
            sentence.strip().casefold().startswith("saldo insuficiente") for sentence in said
        )


Answer = TypeVar("Answer", bound=BaseModel)


def read(model: type[Answer], answer: httpx.Response) -> Answer:
    """:raises PayoutUnknown: not 2xx, or not readable."""
    if not answer.is_success:
        raise unknown(answer)
    try:
        return model.model_validate_json(answer.content)
    except ValidationError:
        raise PayoutUnknown("the provider's answer is not readable") from None


def problem_of(answer: httpx.Response) -> Problem:
    """Empty where the answer is none of Efí's."""
    try:
        return Problem.model_validate_json(answer.content)
    except ValidationError:
        return Problem()


def unknown(answer: httpx.Response) -> PayoutUnknown:
    return PayoutUnknown(f"the provider answered {answer.status_code} {problem_of(answer).code}".rstrip())


def sent_state(pix: SentPix) -> tuple[PayoutState, str | None]:
    """The state and its reason. Returned means the whole amount; a part leaves it paid, with a reason that says so.

    :raises PayoutUnknown: more came back than went out.
    """
    back = returned_centavos(pix.devolucoes)
    if back > pix.valor:
        raise PayoutUnknown("the provider says that more came back than was sent")
    state = SENT_STATES.get(pix.status, PayoutState.PROCESSING)
    if pix.status in LEFT_US and back and back == pix.valor:
        return PayoutState.RETURNED, _return_reason(pix.devolucoes)
    if state is PayoutState.PAID and back:
        return state, PARTLY_RETURNED
    if state is PayoutState.REJECTED:
        code = pix.gn_extras.erro.codigo if pix.gn_extras and pix.gn_extras.erro else None
        return state, safe_reason(code or pix.motivo)
    return state, None


def returned_centavos(devolucoes: Iterable[Devolucao]) -> int:
    return sum(each.valor for each in devolucoes if each.status == RETURNED)


def taken_back_centavos(devolucoes: Iterable[Devolucao]) -> int:
    """What the bank has sent back of a receipt without our asking."""
    return returned_centavos(each for each in devolucoes if each.natureza in TAKEN_BACK)


def _return_reason(devolucoes: Iterable[Devolucao]) -> str | None:
    reasons = [safe_reason(each.motivo) for each in devolucoes if each.status == RETURNED and each.motivo]
    return reasons[0] if reasons else None


def safe_reason(text: str | None) -> str | None:
    """A code as it is; of a sentence, no word that could be a key, a document or an account."""
    if not text or _SPI_CODE.fullmatch(text):
        return text or None
    return _PERSONAL.sub("***", text)[:REASON_LENGTH_MAX]


def bare_tax_id(text: str | None) -> str | None:
    """None where the bank masks it, or says what is no CPF and no CNPJ."""
    try:
        return parse_tax_id(text) if text else None
    except InvalidInput:
        return None


def tax_id_field(tax_id: str) -> dict[str, str]:
    """``{"cpf": ...}`` or ``{"cnpj": ...}``."""
    return {"cpf" if len(tax_id) == 11 else "cnpj": tax_id}
