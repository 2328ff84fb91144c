"""Charges at Woovi, the PIX that paid them, and their refunds (devolução)."""

from models.errors import OperationKeyReused, PayoutRefused, PayoutUnknown, ProviderBalanceTooLow
from payments.protocol import (
    ChargeOrder,
    ChargeReport,
    ChargeState,
    Receipt,
    RefundOrder,
    RefundReport,
    RefundState,
)
from payments.woovi.answers import Charge, ChargeAnswer, Refund, RefundAnswer, Transaction, plain_tax_id
from payments.woovi.client import CHARGE, REFUND, WooviClient, segment
from payments.woovi.pages import transactions

COMMENT_LENGTH_MAX = 140

CHARGE_STATES = {"COMPLETED": ChargeState.PAID}
"""Any other is ``ACTIVE``: an ``EXPIRED`` charge may have been paid in its last second."""
REFUND_STATES = {
    "REFUNDED": RefundState.REFUNDED,
    "CONFIRMED": RefundState.REFUNDED,
    "NOT_ACCOMPLISHED": RefundState.REJECTED,
    "REJECTED": RefundState.REJECTED,
}
RECEIVED = {"PAYMENT", "CONFIRMED", "REFUNDED", "PARTIAL_REFUND"}
NOT_RECEIVED = {"CREATED", "IN_PROCESSING", "REJECTED", "REFUND", "WITHDRAW", "FEE", "REVERSAL"}


class Charges:
    def __init__(self, client: WooviClient) -> None:
        self._client = client

    async def charge(self, order: ChargeOrder) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.charge`."""
        async with self._client.limited():
            answer = await self._client.call(
                "POST",
                "/api/v1/charge",
                params={"return_existing": "true"},
                json={
                    "correlationID": order.key,
                    "value": order.amount_centavos,
                    "type": "DYNAMIC",
                    "comment": order.description[:COMMENT_LENGTH_MAX],
                    "expiresIn": order.expires_seconds,
                    "customer": {"name": order.payer_name, "taxID": order.payer_tax_id},
                },
            )
            if not answer.is_problem:
                charge = _about(answer.read(ChargeAnswer).charge, order.key)
            else:
                earlier = await self._look(order.key)
                if earlier is None:
                    # There is none and there never was, so nobody can pay it: a no, whatever its words.
                    raise PayoutRefused("the provider refused the charge", reason=answer.code or "invalid_request")
                charge = earlier
            if charge.value != order.amount_centavos:
                raise OperationKeyReused(f"the provider knows charge {order.key} with another amount")
            return await self._report(charge)

    async def find_charge(self, key: str) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.find_charge`."""
        async with self._client.limited():
            charge = await self._look(key)
            return ChargeReport(ChargeState.NOT_FOUND) if charge is None else await self._report(charge)

    async def refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.refund`."""
        async with self._client.limited():
            answer = await self._client.call(
                "POST",
                "/api/v1/refund",
                json={
                    "transactionEndToEndId": order.end_to_end_id,
                    "correlationID": order.key,
                    "value": order.amount_centavos,
                },
            )
            if not answer.is_problem:
                return _refund_report(answer.read(RefundAnswer).refund, order)
            earlier = await self.find_refund(order)
            if earlier.state is not RefundState.NOT_FOUND:
                return earlier
            if answer.is_about_balance:
                raise ProviderBalanceTooLow("top up our account at the provider; the refund will be sent again")
            if answer.final_code is not None:
                raise PayoutRefused("the provider refused the refund", reason=answer.final_code)
            raise answer.unknown()

    async def find_refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.find_refund`."""
        answer = await self._client.call("GET", f"/api/v1/refund/{segment(order.key)}")
        if answer.is_missing(REFUND, order.key):
            return RefundReport(RefundState.NOT_FOUND)
        return _refund_report(answer.read(RefundAnswer).refund, order)

    async def _look(self, key: str) -> Charge | None:
        answer = await self._client.call("GET", f"/api/v1/charge/{segment(key)}")
        return None if answer.is_missing(CHARGE, key) else _about(answer.read(ChargeAnswer).charge, key)

    async def _report(self, charge: Charge) -> ChargeReport:
        paid = await transactions(self._client, {"charge": charge.key})
        return ChargeReport(
            state=CHARGE_STATES.get(charge.status.upper(), ChargeState.ACTIVE),
            amount_centavos=charge.value,
            provider_id=charge.txid,
            br_code=charge.br_code,
            receipts=tuple(
                _receipt(transaction, charge.key) for transaction in paid if not transaction.marks & NOT_RECEIVED
            ),
        )


def _about(charge: Charge, key: str) -> Charge:
    if charge.key != key:
        raise PayoutUnknown("the provider answered about another charge")
    return charge


def _receipt(transaction: Transaction, key: str) -> Receipt:
    """A mark never heard of says that something is not usual: received, and not ours to spend yet.

    :raises PayoutUnknown: it is not whole, or another charge's.
    """
    if transaction.charge is None or transaction.charge.key != key:
        raise PayoutUnknown("the provider answered about another charge")
    if transaction.end_to_end_id is None or transaction.value is None or transaction.time is None:
        raise PayoutUnknown("the provider's answer is not readable")
    return Receipt(
        end_to_end_id=transaction.end_to_end_id,
        amount_centavos=transaction.value,
        time=transaction.time,
        payer_tax_id=plain_tax_id(transaction.payer.tax_id if transaction.payer else None),
        blocked=not transaction.marks <= RECEIVED,
    )


def _refund_report(refund: Refund, order: RefundOrder) -> RefundReport:
    """:raises OperationKeyReused: the refund of this key has another amount."""
    if refund.key != order.key:
        raise PayoutUnknown("the provider answered about another refund")
    if refund.value != order.amount_centavos:
        raise OperationKeyReused(f"the provider knows refund {order.key} with another amount")
    state = REFUND_STATES.get(refund.status.upper(), RefundState.PROCESSING)
    return RefundReport(
        state=state,
        amount_centavos=refund.value,
        return_id=refund.return_id,
        reason=refund.status.upper() if state is RefundState.REJECTED else None,
    )
