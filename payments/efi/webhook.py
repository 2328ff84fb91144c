"""Efí's webhooks: a secret in the URL, a body that nobody signed, many PIX in one POST.

Efí proves itself by its client certificate, which ends at our proxy, and by the secret in the URL that we gave
it (``https://.../webhooks/efi?hmac=<secret>&ignorar=``). There is no signature, no time and no event id. So an
event is told apart by what it says, and can only ever be a reason to look.
"""

import hmac
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, Field, ValidationError

from models.errors import WebhookRejected
from payments.efi.words import RETURNED, SENT_STATES, Devolucao, Devolucoes, Words, bare_tax_id
from payments.protocol import ChargeEvent, PayoutEvent, PayoutState, RefundEvent, WebhookEvent

QUERY_HEADER = "x-liquida-query"
"""The request's query string. Our route writes it over whatever came under that name."""

SECRET_LENGTH_MIN = 32
QUERY_LENGTH_MAX = 1_000
NO_TXID = frozenset({None, "", "***"})
OURS = frozenset({None, "ORIGINAL", "RETIRADA"})
"""Kinds of devolução that we ask for; the ``MED_*`` are the bank's, under ids of its own."""


class _Payer(Words):
    cpf: str | None = None
    cnpj: str | None = None


class _Extras(Words):
    id_envio: str | None = None
    pagador: _Payer | None = None


class _Pix(Words):
    end_to_end_id: str
    txid: str | None = None
    valor: str | None = None
    tipo: str | None = None
    status: str | None = None
    devolucoes: Devolucoes = Field(default_factory=list)
    gn_extras: _Extras | None = None


class _Body(BaseModel):
    """``evento``: what Efí sends to a URL when it is registered, in the place of PIX."""

    pix: list[Any] | None = None
    evento: str | None = None


def check_secret(secret: str) -> str:
    """:raises ValueError: too short to be one, or not of characters that pass through a URL."""
    if len(secret) < SECRET_LENGTH_MIN or not (
        secret.isascii() and secret.replace("-", "").replace("_", "").isalnum()
    ):
        raise ValueError(f"a webhook secret has at least {SECRET_LENGTH_MIN} letters, digits, - or _")
    return secret


def events(secrets: Collection[str], headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
    """Check the secret, then read the events.

    :raises WebhookRejected: no secret of ours, or not a webhook of Efí.
    """
    if not _knows_a_secret(secrets, headers):
        raise WebhookRejected("the webhook's URL does not carry our secret")
    return read(body)


def read(body: bytes) -> list[WebhookEvent]:
    """The events of a body; those of kinds that we do not use are left out.

    A PIX that is not readable does not hold up the others of its POST: polling finds it. A POST of which nothing
    is readable is refused, so that Efí's list of failed webhooks shows that its shape has changed.

    :raises WebhookRejected: not a webhook of Efí.
    """
    try:
        told = _Body.model_validate_json(body)
    except ValidationError:
        raise WebhookRejected("the webhook's body is not a list of PIX") from None
    if told.pix is None and told.evento is None:
        raise WebhookRejected("the webhook's body is not a list of PIX")
    items = told.pix or []
    readable = [pix for pix in map(_read, items) if pix]
    if items and not readable:
        raise WebhookRejected("no PIX in the webhook's body is readable")
    return list(dict.fromkeys(event for pix in readable for event in _events(pix)))


def _knows_a_secret(secrets: Collection[str], headers: Mapping[str, str]) -> bool:
    query = next((value for name, value in headers.items() if name.lower() == QUERY_HEADER), "")
    given = parse_qs(query, errors="replace").get("hmac", []) if len(query) <= QUERY_LENGTH_MAX else []
    if len(given) != 1:
        return False
    theirs = given[0].encode(errors="replace")
    # Every secret is compared, so that the time says nothing of which one was close.
    matches = [hmac.compare_digest(secret.encode(), theirs) for secret in secrets]
    return True in matches


def _read(item: Any) -> _Pix | None:
    try:
        return _Pix.model_validate(item)
    except ValidationError:
        return None


def _events(pix: _Pix) -> Iterator[WebhookEvent]:
    key = pix.gn_extras.id_envio if pix.gn_extras else None
    if key:
        yield from _payout_events(pix, key)
        return
    if pix.tipo == "SOLICITACAO":  # sent from Efí's own app: no payout of ours
        return
    if pix.txid not in NO_TXID:
        # The amount is part of it: a PIX held back is told of twice, first with 0.00.
        event_id = f"{pix.end_to_end_id}:{pix.status or 'RECEBIDO'}:{pix.valor}"
        payer = (pix.gn_extras.pagador if pix.gn_extras else None) or _Payer()
        yield ChargeEvent(event_id, str(pix.txid), pix.end_to_end_id, bare_tax_id(payer.cpf or payer.cnpj))
    for each in pix.devolucoes:
        ours = each.id if each.natureza in OURS else None
        yield RefundEvent(_return_id(pix, each), ours, pix.end_to_end_id)


def _payout_events(pix: _Pix, key: str) -> Iterator[PayoutEvent]:
    if pix.status:
        state = SENT_STATES.get(pix.status, PayoutState.PROCESSING)
        yield PayoutEvent(f"{pix.end_to_end_id}:{pix.status}", key, state)
    for each in pix.devolucoes:
        if each.status == RETURNED:
            yield PayoutEvent(_return_id(pix, each), key, PayoutState.RETURNED)


def _return_id(pix: _Pix, back: Devolucao) -> str:
    return f"{pix.end_to_end_id}:{back.rtr_id or back.id}:{back.status}"
