"""Efí's "infrações": claims of a payer's bank (MED) on a PIX that we received.

Efí has no look-up of one; they are listed by the time they were made. It tells no webhook of them either: a
devolução whose ``natureza`` is ``MED_*`` is the first that a webhook says.

Source: dev.efipay.com.br/docs/api-pix/endpoints-exclusivos-efi, "Listar infrações MED da conta".
"""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from pydantic import BaseModel

from models.errors import PayoutUnknown
from payments.efi.door import Door
from payments.efi.words import Centavos, Words, read
from payments.protocol import DisputeReport, DisputeState

STATES = {
    "ABERTA": DisputeState.OPEN,
    "EM_DEFESA": DisputeState.OPEN,
    "ACEITA": DisputeState.LOST,
    "REJEITADA": DisputeState.WON,
    "CANCELADA_EFI": DisputeState.WON,
}
SITUATIONS = frozenset({"golpe", "aquisição da conta", "coerção", "acesso fraudulento", "outro", "desconhecido"})
"""The published words of ``tipoSituacao``; what else stands there may name somebody."""

REACH_BACK, AHEAD = timedelta(days=365), timedelta(days=1)
ITEMS_PER_PAGE = 1_000
PAGES_MOST = 100

_EXACT = re.compile(r"[0-9]{1,13}\.[0-9]{2}")


class Infraction(Words):
    id_infracao: str
    end_to_end_id: str
    valor: str
    status: str
    tipo_situacao: str | None = None


class Paging(Words):
    quantidade_de_paginas: int


class Parameters(Words):
    paginacao: Paging


class Page(BaseModel):
    parametros: Parameters
    infracoes: list[Infraction]


class Received(Words):
    """``GET /v2/pix/:e2eId``"""

    end_to_end_id: str
    valor: Centavos


async def dispute_report(door: Door, dispute_id: str) -> DisputeReport:
    """:raises PayoutUnknown: no answer, or none of the last year has this id."""
    found = await _find(door, dispute_id)
    reason = (found.tipo_situacao or "").casefold()
    return DisputeReport(
        id=dispute_id,
        state=STATES.get(found.status, DisputeState.OPEN),
        end_to_end_id=found.end_to_end_id,
        amount_centavos=await _claimed(door, found),
        reason=reason if reason in SITUATIONS else None,
    )


async def _find(door: Door, dispute_id: str) -> Infraction:
    until = datetime.now(UTC)
    for number in range(PAGES_MOST):
        params = {
            "inicio": _rfc3339(until - REACH_BACK),
            "fim": _rfc3339(until + AHEAD),
            "paginacao.paginaAtual": str(number),
            "paginacao.itensPorPagina": str(ITEMS_PER_PAGE),
        }
        page = read(Page, await door.call("GET", "/v2/gn/infracoes", params=params))
        for infraction in page.infracoes:
            if infraction.id_infracao == dispute_id:
                return infraction
        if number + 1 >= page.parametros.paginacao.quantidade_de_paginas:
            break
    raise PayoutUnknown("the provider lists no such dispute")


async def _claimed(door: Door, infraction: Infraction) -> int:
    """The published sample says ``"100"``, which may be reais or centavos. Then the whole receipt is claimed."""
    if _EXACT.fullmatch(infraction.valor):
        return int(infraction.valor.replace(".", ""))
    received = read(Received, await door.call("GET", f"/v2/pix/{quote(infraction.end_to_end_id, safe='')}"))
    if received.end_to_end_id != infraction.end_to_end_id:
        raise PayoutUnknown("the provider answered about another receipt")
    return received.valor


def _rfc3339(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
