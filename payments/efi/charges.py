"""Bacen's ``cob`` and ``devolucao`` as Efí answers them, in our words."""

from typing import Any

from pydantic import AwareDatetime, Field

from models.errors import PayoutUnknown
from payments.efi.words import (
    CHARGE_STATES,
    INFO_LENGTH_MAX,
    REFUND_STATES,
    Centavos,
    Devolucao,
    Devolucoes,
    Words,
    bare_tax_id,
    reais,
    safe_reason,
    taken_back_centavos,
    tax_id_field,
)
from payments.protocol import ChargeOrder, ChargeReport, ChargeState, Receipt, RefundReport, RefundState

NAME_LENGTH_MAX = 200


class Payer(Words):
    cpf: str | None = None
    cnpj: str | None = None


class ReceivedExtras(Words):
    pagador: Payer | None = None


class ReceivedPix(Words):
    """One PIX of ``cob.pix``. Who paid is in ``gnExtras`` or, in older answers, at the top; often nowhere."""

    end_to_end_id: str
    valor: Centavos
    horario: AwareDatetime
    pagador: Payer | None = None
    gn_extras: ReceivedExtras | None = None
    devolucoes: Devolucoes = Field(default_factory=list)


class Value(Words):
    original: Centavos


class Cob(Words):
    """``/v2/cob/:txid``"""

    txid: str
    status: str
    valor: Value
    pix_copia_e_cola: str | None = Field(None, alias="pixCopiaECola")
    pix: list[ReceivedPix] = Field(default_factory=list)


def cob_body(order: ChargeOrder, our_key: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "calendario": {"expiracao": order.expires_seconds},
        "devedor": {**tax_id_field(order.payer_tax_id), "nome": order.payer_name[:NAME_LENGTH_MAX]},
        "valor": {"original": reais(order.amount_centavos)},
        "chave": our_key,
    }
    return body | ({"solicitacaoPagador": order.description[:INFO_LENGTH_MAX]} if order.description else {})


def charge_report(cob: Cob, key: str) -> ChargeReport:
    """A status never heard of is active: it may still be paid.

    :raises PayoutUnknown: it is another charge.
    """
    if cob.txid != key:
        raise PayoutUnknown("the provider answered about another charge")
    return ChargeReport(
        state=CHARGE_STATES.get(cob.status, ChargeState.ACTIVE),
        amount_centavos=cob.valor.original,
        br_code=cob.pix_copia_e_cola,
        receipts=tuple(_receipt(pix) for pix in cob.pix),
    )


def refund_report(devolucao: Devolucao, key: str) -> RefundReport:
    """:raises PayoutUnknown: it is another devolução."""
    if devolucao.id != key:
        raise PayoutUnknown("the provider answered about another refund")
    state = REFUND_STATES.get(devolucao.status, RefundState.PROCESSING)
    return RefundReport(
        state=state,
        amount_centavos=devolucao.valor,
        return_id=devolucao.rtr_id,
        reason=safe_reason(devolucao.motivo) if state is RefundState.REJECTED else None,
    )


def _receipt(pix: ReceivedPix) -> Receipt:
    payer = (pix.gn_extras.pagador if pix.gn_extras else None) or pix.pagador or Payer()
    return Receipt(
        end_to_end_id=pix.end_to_end_id,
        amount_centavos=pix.valor,
        time=pix.horario,
        payer_tax_id=bare_tax_id(payer.cpf or payer.cnpj),
        # No PIX is of 0.00 (SPI code AM01): banks write that while they hold one back.
        blocked=pix.valor == 0,
        taken_back_centavos=taken_back_centavos(pix.devolucoes),
    )
