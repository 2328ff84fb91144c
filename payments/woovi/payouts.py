"""Payouts at Woovi: check the holder, create, approve.

Creating moves no money. So a payment that is ``CREATED`` is, to our callers, one that was never sent:
:meth:`Payouts.find` calls it ``NOT_FOUND``, and :meth:`Payouts.send` of the same key finds it and goes on.
One ``correlationID`` is one payment for ever, and a payment is approved once, so neither can pay twice.

A refusal ends a key, so it counts only while Woovi holds nothing under it: what is ``CREATED`` can still
be approved, by a person at Woovi's own screens.
"""

import re
from collections.abc import Callable

from models.errors import OperationKeyReused, PayoutRefused, PayoutUnknown, ProviderBalanceTooLow
from payments.protocol import PayoutOrder, PayoutReport, PayoutState, PixKeyKind
from payments.woovi.answers import KeyCheck, PaymentAnswer, TransactionAnswer, agrees, bare
from payments.woovi.client import PAYMENT, Answer, WooviClient, segment

COMMENT_LENGTH_MAX = 140

KINDS = {
    PixKeyKind.CPF: "CPF",
    PixKeyKind.CNPJ: "CNPJ",
    PixKeyKind.PHONE: "PHONE",
    PixKeyKind.EMAIL: "EMAIL",
    PixKeyKind.EVP: "RANDOM",
}
STATES = {
    "APPROVED": PayoutState.PROCESSING,
    "CONFIRMED": PayoutState.PAID,
    "FAILED": PayoutState.REJECTED,
    "DENIED": PayoutState.REJECTED,
    "REJECTED": PayoutState.REJECTED,
}
OTHER_HOLDER = "BE01"
"""ISO 20022: the document is not that of the account's holder."""

_ISO_REASON = re.compile(r"([A-Z]{2}[0-9A-Z]{2}|AGNT|DUPL|FRAD|UPAY)\b")
_CODE = re.compile(r"[A-Z0-9_]{1,60}")


class Payouts:
    """:param checks_holder: ask DICT whose key it is before creating (Woovi's scope "pixkey check")."""

    def __init__(self, client: WooviClient, *, checks_holder: bool) -> None:
        self._client = client
        self._checks_holder = checks_holder

    async def send(self, order: PayoutOrder) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.payout`."""
        async with self._client.limited():
            end_to_end_id = None
            if self._checks_holder:
                checked = await self._check(order)
                if isinstance(checked, PayoutReport):
                    return checked
                end_to_end_id = checked
            payment = await self._create(order, end_to_end_id)
            if _is_created(payment):
                if _holder_differs(payment, order):
                    raise PayoutUnknown("the payment is another holder's: a person must remove it at the provider")
                payment = await self._approve(order)
            return _report(payment, order)

    async def find(self, key: str) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.find_payout`. ``CREATED`` is ``NOT_FOUND``: nothing was sent."""
        async with self._client.limited():
            payment = await self._look(key)
            if payment is None or _is_created(payment):
                return PayoutReport(PayoutState.NOT_FOUND)
            report = _report(payment)
            if report.state is not PayoutState.PAID or report.end_to_end_id is None:
                return report
            return await self._came_back(report, report.end_to_end_id)

    async def _check(self, order: PayoutOrder) -> str | PayoutReport:
        """DICT's end-to-end id for this payment; a report where an earlier sending is found instead.

        :raises PayoutRefused: the key is nobody's or somebody else's, and nothing was created.
        """
        answer = await self._client.call("POST", "/api/v1/pix-keys/check", json={"pixKey": order.pix_key})
        if answer.code == "PIX_KEY_CHECK_NOT_ALLOWED":
            raise PayoutUnknown("the provider does not let us check PIX keys: ask it to, or do without the check")
        if answer.final_code is not None:
            return await self._refuse(order, answer.final_code)
        entry = answer.read(KeyCheck)
        is_holder = agrees(entry.owner.tax_id, order.holder_tax_id)
        if is_holder is None:
            raise PayoutUnknown("the provider does not say whose the PIX key is")
        return entry.end_to_end_id if is_holder else await self._refuse(order, OTHER_HOLDER)

    async def _create(self, order: PayoutOrder, end_to_end_id: str | None) -> PaymentAnswer:
        """The payment of this key, new or old."""
        payload: dict[str, object] = {
            "type": "PIX_KEY",
            "value": order.amount_centavos,
            "destinationAlias": order.pix_key,
            "destinationAliasType": KINDS[order.pix_key_kind],
            "correlationID": order.key,
            "comment": order.description[:COMMENT_LENGTH_MAX],
        }
        if end_to_end_id is not None:
            payload["pixKeyEndToEndId"] = end_to_end_id
        answer = await self._client.call("POST", "/api/v1/payment", json=payload)
        if not answer.is_problem:
            return _same(_about(answer.read(PaymentAnswer), order.key), order)
        # Whatever it says no to, there may be a payment of this key: a repeated key is a 400 too.
        earlier = await self._look(order.key)
        if earlier is not None:
            return _same(earlier, order)
        raise _no(answer)

    async def _approve(self, order: PayoutOrder) -> PaymentAnswer:
        answer = await self._client.call("POST", "/api/v1/payment/approve", json={"correlationID": order.key})
        if answer.is_problem:
            # Approved meanwhile, by an attempt that was given up, or not: only the payment itself can say.
            payment = await self._look(order.key)
            if payment is None:
                raise PayoutUnknown("the provider no longer knows the payment that it would not approve")
        else:
            payment = _about(answer.read(PaymentAnswer), order.key)
        if not _is_created(payment):
            return _same(payment, order)
        if answer.is_about_balance:
            raise ProviderBalanceTooLow("top up our account at the provider; the payout will be sent again")
        raise PayoutUnknown("the provider has not approved the payment")

    async def _refuse(self, order: PayoutOrder, reason: str) -> PayoutReport:
        """What an earlier sending came to.

        :raises PayoutRefused: there was none.
        """
        earlier = await self._look(order.key)
        if earlier is None:
            raise PayoutRefused("the provider refused the payout", reason=reason)
        if _is_created(earlier):
            raise PayoutUnknown("refused, and created before: a person must remove it at the provider")
        return _report(_same(earlier, order), order)

    async def _look(self, key: str) -> PaymentAnswer | None:
        answer = await self._client.call("GET", f"/api/v1/payment/{segment(key)}")
        if answer.is_missing(PAYMENT, key):
            return None
        return _about(answer.read(PaymentAnswer), key)

    async def _came_back(self, report: PayoutReport, end_to_end_id: str) -> PayoutReport:
        """The payment stays ``CONFIRMED`` when the receiver returns it; its transaction tells.

        That it was paid is known by now, so a transaction that cannot be read takes nothing back.
        """
        try:
            answer = await self._client.call("GET", f"/api/v1/transaction/{segment(end_to_end_id)}")
            transaction = answer.read(TransactionAnswer).transaction
        except PayoutUnknown:
            return report
        if transaction.end_to_end_id != end_to_end_id:
            return report
        if "REFUNDED" in transaction.marks:
            return _with(report, PayoutState.RETURNED, "REFUNDED")
        if "PARTIAL_REFUND" in transaction.marks:
            return _with(report, PayoutState.PAID, "PARTIAL_REFUND")
        return report


def _no(answer: Answer) -> Exception:
    """What to raise for a payment that was not created."""
    if answer.is_about_balance:
        return ProviderBalanceTooLow("top up our account at the provider; the payout will be sent again")
    if answer.final_code is not None:
        return PayoutRefused("the provider refused the payout", reason=answer.final_code)
    return answer.unknown()


def _about(payment: PaymentAnswer, key: str) -> PaymentAnswer:
    if payment.payment.key != key:
        raise PayoutUnknown("the provider answered about another payout")
    return payment


def _same(payment: PaymentAnswer, order: PayoutOrder) -> PaymentAnswer:
    """:raises OperationKeyReused: the payment of this key has another amount or another PIX key."""
    alias, plain = payment.payment.alias, _plain_alias(order.pix_key_kind)
    if payment.payment.value != order.amount_centavos or (alias is not None and plain(alias) != plain(order.pix_key)):
        raise OperationKeyReused(f"the provider knows payout {order.key} with another content")
    return payment


def _plain_alias(kind: PixKeyKind) -> Callable[[str], str]:
    """Only documents and phones have punctuation that means nothing."""
    return bare if kind in {PixKeyKind.CPF, PixKeyKind.CNPJ, PixKeyKind.PHONE} else str.casefold


def _is_created(payment: PaymentAnswer) -> bool:
    return payment.payment.status.upper() == "CREATED"


def _holder_differs(payment: PaymentAnswer, order: PayoutOrder) -> bool:
    shown = payment.destination.tax_id if payment.destination else None
    return agrees(shown, order.holder_tax_id) is False


def _report(payment: PaymentAnswer, order: PayoutOrder | None = None) -> PayoutReport:
    """``holder_differs``: approved, and only then known to be somebody else's. Nothing undoes that."""
    transaction = payment.transaction
    state = STATES.get(payment.payment.status.upper(), PayoutState.PROCESSING)
    reason = _reason(payment) if state is PayoutState.REJECTED else None
    if order is not None and state is not PayoutState.REJECTED and _holder_differs(payment, order):
        reason = "holder_differs"
    return PayoutReport(
        state=state,
        amount_centavos=payment.payment.value,
        end_to_end_id=transaction.end_to_end_id if transaction else None,
        reason=reason,
    )


def _reason(payment: PaymentAnswer) -> str:
    """The SPI's code, else Woovi's, else the bare status; never its sentence."""
    transaction = payment.transaction
    if transaction and (iso := _ISO_REASON.match(transaction.rejected_reason or "")):
        return iso[1]
    if transaction and _CODE.fullmatch(transaction.error_code or ""):
        return transaction.error_code or ""
    return payment.payment.status.upper()


def _with(report: PayoutReport, state: PayoutState, reason: str) -> PayoutReport:
    return PayoutReport(state, report.amount_centavos, report.provider_id, report.end_to_end_id, reason)
