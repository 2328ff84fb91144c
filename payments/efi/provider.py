"""Efí as a bank that pays and collects. Our key is its ``idEnvio``, its ``txid`` and its devolução's ``id``.

Only its own published words end anything: 201 for this key, a named refusal, its own "not found". A refusal says
nothing of an earlier call with the key that got lost, so the key is asked for before the refusal is believed.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from models.errors import OperationKeyReused, PayoutRefused, PayoutUnknown, ProviderBalanceTooLow
from payments.efi import disputes, statement, webhook
from payments.efi.charges import Cob, charge_report, cob_body, refund_report
from payments.efi.door import Door
from payments.efi.words import (
    INFO_LENGTH_MAX,
    AcceptedPix,
    Balance,
    Devolucao,
    SentPix,
    problem_of,
    read,
    reais,
    sent_state,
    tax_id_field,
    unknown,
)
from payments.protocol import (
    ChargeOrder,
    ChargeReport,
    ChargeState,
    DisputeReport,
    PayoutOrder,
    PayoutReport,
    PayoutState,
    RefundOrder,
    RefundReport,
    RefundState,
    StatementLine,
    WebhookEvent,
)

URL = "https://pix.api.efipay.com.br"
SANDBOX_URL = "https://pix-h.api.efipay.com.br"

MALFORMED = frozenset({(400, "valor_invalido"), (400, "json_invalido")})
OUR_ACCOUNT = frozenset({(400, "documento_bloqueado"), (400, "chave_invalida")})
"""Our account is blocked, or our own key is not its: nobody's payout is at fault. A payout waits for a person."""

PAYOUT_REFUSALS = MALFORMED | {
    (400, "chave_nao_pertence_ao_documento"),
    (404, "chave_favorecido_nao_encontrada"),
    (422, "pagamento_negado"),
}
CHARGE_REFUSALS = MALFORMED | OUR_ACCOUNT
REFUND_REFUSALS = MALFORMED | {(400, "pix_nao_encontrado")}


class EfiProvider:
    """A :class:`payments.protocol.PixProvider`, ``PixCollector`` and, but for defending, ``PixDisputes``.

    :param pix_key: a key of our account at Efí: what pays and what charges name. Efí pays from it only while a
        webhook is registered for it.
    :param certificate: PEM file of the client certificate; ``certificate_key`` its private key, unencrypted,
        where that is in a file of its own.
    :param authorities: PEM file of the only authorities to believe, instead of the public ones.
    :param webhook_secrets: all that are valid now; two while one is being replaced.
    :param timeout_seconds: for one call from beginning to end, connecting and a new token included.
    :raises ValueError: a webhook secret is shorter than 32 characters or would not pass through a URL.
    :raises OSError: a certificate's file is not there or not readable.

    A process that only verifies webhooks needs nothing but their secrets.
    """

    name: str = "efi"

    def __init__(
        self,
        url: str = URL,
        *,
        client_id: str = "",
        client_secret: str = "",
        pix_key: str = "",
        certificate: Path | None = None,
        certificate_key: Path | None = None,
        authorities: Path | None = None,
        webhook_secrets: Collection[str] = (),
        timeout_seconds: float = 15,
    ) -> None:
        self._secrets = [webhook.check_secret(text) for text in webhook_secrets]
        self._pix_key = pix_key
        self._door = Door(
            url,
            client_id=client_id,
            client_secret=client_secret,
            certificate=certificate,
            certificate_key=certificate_key,
            authorities=authorities,
            timeout_seconds=timeout_seconds,
        )

    async def close(self) -> None:
        await self._door.close()

    async def payout(self, order: PayoutOrder) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.payout`. Efí itself checks that the key is the holder's."""
        answer = await self._door.call("PUT", f"/v3/gn/pix/{_part(order.key)}", json=self._payout_body(order))
        if answer.is_success:
            return await self._accepted(order, read(AcceptedPix, answer))
        problem = _told(answer)
        if problem == (409, "id_envio_duplicado"):
            return await self._earlier_payout(order)
        if problem in PAYOUT_REFUSALS:
            earlier = await self._find_sent(order.key)
            if earlier is None:
                raise PayoutRefused("the provider refused the payout", reason=problem[1])
            return _same_payout(order, earlier)
        raise _no_word(answer)

    async def find_payout(self, key: str, provider_id: str | None = None) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.find_payout`.

        Returned in part is still paid, with the reason ``PARTIAL_RETURN``; the parts are in the statement.
        """
        pix = await self._find_sent(key)
        return PayoutReport(PayoutState.NOT_FOUND) if pix is None else _payout_report(pix)

    async def balance(self) -> int:
        """See :meth:`payments.protocol.PixProvider.balance`."""
        return read(Balance, await self._door.call("GET", "/v2/gn/saldo")).saldo

    async def statement(self, day: date) -> list[StatementLine]:
        """See :meth:`payments.protocol.PixProvider.statement`.

        The key of a line is the payout's, the charge's or, for what we sent back, the refund's. The bank's fee
        on a receipt is a line of its own, without a key, where the account is set to show it.
        """
        return await statement.day_lines(self._door, day)

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.verify_webhook`.

        The secret is read from ``x-liquida-query``, where our route puts the query string of the request. Efí
        sends no time, so nothing can be found stale: an old event is the same event.
        """
        return webhook.events(self._secrets, headers, body)

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.read_webhook`. Efí names no event: each is told by its words."""
        return webhook.read(body)

    async def charge(self, order: ChargeOrder) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.charge`."""
        path = f"/v2/cob/{_part(order.key)}"
        answer = await self._door.call("PUT", path, json=cob_body(order, self._pix_key))
        if answer.is_success:
            return _same_charge(order, charge_report(read(Cob, answer), order.key))
        problem = _told(answer)
        if problem != (409, "txid_duplicado") and problem not in CHARGE_REFUSALS:
            raise _no_word(answer)
        earlier = await self.find_charge(order.key)
        if earlier.state is not ChargeState.NOT_FOUND:
            return _same_charge(order, earlier)
        if problem in CHARGE_REFUSALS:
            raise PayoutRefused("the provider refused the charge", reason=problem[1])
        raise PayoutUnknown("the provider says that the charge exists, and that it does not")

    async def find_charge(self, key: str) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.find_charge`."""
        answer = await self._door.call("GET", f"/v2/cob/{_part(key)}")
        if _is_missing(answer, "cobranca_nao_encontrada"):
            return ChargeReport(ChargeState.NOT_FOUND)
        return charge_report(read(Cob, answer), key)

    async def refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.refund`. Asked for first: not every bank takes a repeat.

        :raises OperationKeyReused: the provider knows this key with another amount.
        """
        earlier = await self.find_refund(order)
        if earlier.state is not RefundState.NOT_FOUND:
            return _same_refund(order, earlier)
        answer = await self._door.call("PUT", _refund_path(order), json={"valor": reais(order.amount_centavos)})
        if answer.is_success:
            return _same_refund(order, refund_report(read(Devolucao, answer), order.key))
        problem = _told(answer)
        if problem != (409, "devolucao_id_duplicado") and problem not in REFUND_REFUSALS:
            raise _no_word(answer)
        earlier = await self.find_refund(order)
        if earlier.state is not RefundState.NOT_FOUND:
            return _same_refund(order, earlier)
        if problem in REFUND_REFUSALS:
            raise PayoutRefused("the provider refused the refund", reason=problem[1])
        raise PayoutUnknown("the provider says that the refund exists, and that it does not")

    async def find_refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.find_refund`."""
        answer = await self._door.call("GET", _refund_path(order))
        if _is_missing(answer, "devolucao_nao_encontrada", "pix_nao_encontrado"):
            return RefundReport(RefundState.NOT_FOUND)
        return refund_report(read(Devolucao, answer), order.key)

    async def find_dispute(self, dispute_id: str) -> DisputeReport:
        """See :meth:`payments.protocol.PixDisputes.find_dispute`. ``dispute_id``: its ``idInfracao``.

        Efí says until when it decides, not until when we may answer.
        """
        return await disputes.dispute_report(self._door, dispute_id)

    async def defend(self, dispute_id: str, statement: str) -> None:
        """:raises PayoutRefused: always: a person hands it in, in Efí's own app.

        Its call for this wants ``analise`` to be "aceito" or "rejeitado", and publishes nowhere whether that is
        said of the claim or of the defence. The wrong word would give the money away.
        """
        raise PayoutRefused("defend it in Efí's own app, not here", reason="not_by_api")

    def _payout_body(self, order: PayoutOrder) -> dict[str, Any]:
        info = {"infoPagador": order.description[:INFO_LENGTH_MAX]} if order.description else {}
        return {
            "valor": reais(order.amount_centavos),
            "pagador": {"chave": self._pix_key, **info},
            "favorecido": {"chave": order.pix_key, **tax_id_field(order.holder_tax_id)},
        }

    async def _accepted(self, order: PayoutOrder, accepted: AcceptedPix) -> PayoutReport:
        """A repeat may be answered like the first call; whatever is past its beginning is asked for whole."""
        if accepted.id_envio != order.key:
            raise PayoutUnknown("the provider answered about another payout")
        if accepted.valor != order.amount_centavos:
            raise _reused(order.key)
        if accepted.status != "EM_PROCESSAMENTO":
            return await self._earlier_payout(order)
        return PayoutReport(PayoutState.PROCESSING, amount_centavos=accepted.valor, end_to_end_id=accepted.e2e_id)

    async def _earlier_payout(self, order: PayoutOrder) -> PayoutReport:
        earlier = await self._find_sent(order.key)
        if earlier is None:
            raise PayoutUnknown("the provider says that the payout exists, and that it does not")
        return _same_payout(order, earlier)

    async def _find_sent(self, key: str) -> SentPix | None:
        """None on Efí's own word that it has never heard of the key."""
        answer = await self._door.call("GET", f"/v2/gn/pix/enviados/id-envio/{_part(key)}")
        if answer.status_code == 404 and problem_of(answer).code == "PixEnviadoNaoEncontrado":
            return None
        pix = read(SentPix, answer)
        if pix.id_envio != key:
            raise PayoutUnknown("the provider answered about another payout")
        return pix


def _part(text: str) -> str:
    return quote(text, safe="")


def _refund_path(order: RefundOrder) -> str:
    return f"/v2/pix/{_part(order.end_to_end_id)}/devolucao/{_part(order.key)}"


def _told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, problem_of(answer).code


def _is_missing(answer: httpx.Response, *codes: str) -> bool:
    """Efí says "not found" with 400, Bacen's specification with 404."""
    return answer.status_code in {400, 404} and problem_of(answer).code in codes


def _no_word(answer: httpx.Response) -> PayoutUnknown:
    """Short of balance, or nothing that we could call an answer."""
    if answer.status_code in {400, 422} and problem_of(answer).is_short_of_balance:
        return ProviderBalanceTooLow("top up our account at the provider; the same key will be sent again")
    return unknown(answer)


def _payout_report(pix: SentPix) -> PayoutReport:
    state, reason = sent_state(pix)
    return PayoutReport(state, amount_centavos=pix.valor, end_to_end_id=pix.end_to_end_id, reason=reason)


def _same_payout(order: PayoutOrder, earlier: SentPix) -> PayoutReport:
    payee = earlier.favorecido.chave if earlier.favorecido else None
    if earlier.valor != order.amount_centavos or (payee and not _is_key(payee, order.pix_key)):
        raise _reused(order.key)
    return _payout_report(earlier)


def _is_key(told: str, ours: str) -> bool:
    """Whether they may be one key: the bank's spelling may differ, and it may mask it."""
    return "*" in told or _bare(told) == _bare(ours)


def _bare(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _same_charge(order: ChargeOrder, report: ChargeReport) -> ChargeReport:
    if report.amount_centavos != order.amount_centavos:
        raise _reused(order.key)
    return report


def _same_refund(order: RefundOrder, report: RefundReport) -> RefundReport:
    if report.amount_centavos != order.amount_centavos:
        raise _reused(order.key)
    return report


def _reused(key: str) -> OperationKeyReused:
    return OperationKeyReused(f"the provider knows {key} with another content")
