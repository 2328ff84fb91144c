"""A day of Efí's books, put together from its lists of what was sent and what was received.

Its own statement (``extrato-conciliacao``) is made on order and fetched later as a file. The lists know a PIX by
the time of its request and show what came back inside it, up to months later; so they are asked for more than
the day, and each movement is booked by its own time.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Generic, TypeVar
from zoneinfo import ZoneInfo

import httpx
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from models.errors import PayoutUnknown
from payments.efi.door import Door
from payments.efi.words import LEFT_US, RETURNED, Centavos, Devolucao, Words, one_or_many, problem_of, unknown
from payments.protocol import StatementLine

BANK_TIME = ZoneInfo("America/Sao_Paulo")
MARGIN = timedelta(days=1)
RETURNS_REACH_BACK = timedelta(days=120)
"""A PIX may be sent back for 90 days (SPI); MED takes longer to decide."""

ITEMS_PER_PAGE = 1_000
PAGES_MOST = 1_000
SENT, RECEIVED = "/v2/gn/pix/enviados", "/v2/pix"


class Times(Words):
    solicitacao: AwareDatetime
    liquidacao: AwareDatetime | None = None


class BookedDevolucao(Devolucao):
    horario: Times


BookedDevolucoes = Annotated[list[BookedDevolucao], BeforeValidator(one_or_many)]


class BookedSent(Words):
    """``id_envio`` is missing where it was sent from Efí's own app."""

    end_to_end_id: str
    id_envio: str | None = None
    valor: Centavos
    status: str
    horario: Times
    devolucoes: BookedDevolucoes = Field(default_factory=list)


class Fee(Words):
    tarifa: Centavos | None = None


class BookedReceived(Words):
    end_to_end_id: str
    txid: str | None = None
    valor: Centavos
    horario: AwareDatetime
    devolucoes: BookedDevolucoes = Field(default_factory=list)
    gn_extras: Fee | None = None


class Paging(Words):
    pagina_atual: int
    quantidade_de_paginas: int
    quantidade_total_de_itens: int


class Parameters(Words):
    paginacao: Paging


Item = TypeVar("Item", BookedSent, BookedReceived)


class Page(BaseModel, Generic[Item]):
    parametros: Parameters
    pix: list[Item]


SENT_PAGE: TypeAdapter[Page[BookedSent] | list[BookedSent]] = TypeAdapter(Page[BookedSent] | list[BookedSent])
RECEIVED_PAGE: TypeAdapter[Page[BookedReceived] | list[BookedReceived]] = TypeAdapter(
    Page[BookedReceived] | list[BookedReceived]
)


async def day_lines(door: Door, day: date) -> list[StatementLine]:
    """All lines of one day (America/Sao_Paulo), oldest first.

    :raises PayoutUnknown: a list did not come whole.
    """
    start = datetime.combine(day, time.min, BANK_TIME)
    end = datetime.combine(day + timedelta(days=1), time.min, BANK_TIME)
    lines: list[StatementLine] = []
    for sent in await _both(door, SENT, SENT_PAGE, start, end):
        lines += _sent_lines(sent)
    for received in await _both(door, RECEIVED, RECEIVED_PAGE, start, end):
        lines += _received_lines(received)
    return sorted((line for line in lines if start <= line.time < end), key=lambda line: (line.time, line.id))


async def _both(
    door: Door, path: str, page: TypeAdapter[Page[Item] | list[Item]], start: datetime, end: datetime
) -> Sequence[Item]:
    """What moved around the day, and what came back then of anything older; each PIX once."""
    found = {pix.end_to_end_id: pix for pix in await _list(door, path, page, start - MARGIN, end + MARGIN)}
    returned = await _list(door, path, page, start - RETURNS_REACH_BACK, end + MARGIN, {"devolucaoPresente": "true"})
    return list((found | {pix.end_to_end_id: pix for pix in returned}).values())


async def _list(
    door: Door,
    path: str,
    page: TypeAdapter[Page[Item] | list[Item]],
    start: datetime,
    end: datetime,
    more: dict[str, str] | None = None,
) -> list[Item]:
    found: dict[str, Item] = {}
    expected = 0
    for number in range(PAGES_MOST):
        params = {
            "inicio": _rfc3339(start),
            "fim": _rfc3339(end),
            "paginacao.itensPorPagina": str(ITEMS_PER_PAGE),
            "paginacao.paginaAtual": str(number),
            **(more or {}),
        }
        answer = await door.call("GET", path, params=params)
        if number == 0 and answer.status_code == 404 and problem_of(answer).code == "PixEnviadoNaoEncontrado":
            return []
        read = _read_page(page, answer)
        if isinstance(read, list):
            return read
        paging = read.parametros.paginacao
        if paging.pagina_atual != number:
            raise PayoutUnknown("the provider answered with another page of the list")
        found |= {pix.end_to_end_id: pix for pix in read.pix}
        # Only the first page's count: what arrives while we turn pages is of a later reading.
        expected = expected if number else paging.quantidade_total_de_itens
        if number + 1 >= paging.quantidade_de_paginas:
            if len(found) < expected:
                raise PayoutUnknown("the provider's list is shorter than it says")
            return list(found.values())
    raise PayoutUnknown("the provider's list does not end")


def _read_page(page: TypeAdapter[Page[Item] | list[Item]], answer: httpx.Response) -> Page[Item] | list[Item]:
    if not answer.is_success:
        raise unknown(answer)
    try:
        return page.validate_json(answer.content)
    except ValidationError:
        raise PayoutUnknown("the provider's list is not readable") from None


def _sent_lines(pix: BookedSent) -> Iterator[StatementLine]:
    if pix.status not in LEFT_US:
        return
    at = pix.horario.liquidacao or pix.horario.solicitacao
    yield StatementLine(f"sent:{pix.end_to_end_id}", pix.id_envio, pix.end_to_end_id, -pix.valor, at)
    yield from (_return_line(pix.end_to_end_id, each, pix.id_envio, 1) for each in _settled(pix.devolucoes))


def _received_lines(pix: BookedReceived) -> Iterator[StatementLine]:
    if pix.valor:  # 0.00: held back, not booked yet
        name = f"received:{pix.end_to_end_id}"
        yield StatementLine(name, pix.txid, pix.end_to_end_id, pix.valor, pix.horario)
    if pix.gn_extras and pix.gn_extras.tarifa:
        name = f"fee:{pix.end_to_end_id}"
        yield StatementLine(name, None, pix.end_to_end_id, -pix.gn_extras.tarifa, pix.horario)
    yield from (_return_line(pix.end_to_end_id, each, each.id, -1) for each in _settled(pix.devolucoes))


def _settled(devolucoes: Sequence[BookedDevolucao]) -> Iterator[BookedDevolucao]:
    return (each for each in devolucoes if each.status == RETURNED)


def _return_line(end_to_end_id: str, back: BookedDevolucao, key: str | None, sign: int) -> StatementLine:
    name = f"return:{end_to_end_id}:{back.rtr_id or back.id}"
    at = back.horario.liquidacao or back.horario.solicitacao
    return StatementLine(name, key, back.rtr_id, sign * back.valor, at)


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
