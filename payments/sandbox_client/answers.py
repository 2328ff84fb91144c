"""The sandbox bank's answers: their shapes, and each of its words in ours. A word never heard of is unreadable."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel

from models.errors import OperationKeyReused, PayoutUnknown
from models.money import Units
from payments.protocol import (
    ChargeReport,
    ChargeState,
    DisputeReport,
    DisputeState,
    PayoutReport,
    PayoutState,
    Receipt,
    RefundOrder,
    RefundReport,
    RefundState,
    StatementLine,
)

PAYOUT_STATES = {
    "processing": PayoutState.PROCESSING,
    "paid": PayoutState.PAID,
    "rejected": PayoutState.REJECTED,
    "refused": PayoutState.REJECTED,
    "returned": PayoutState.RETURNED,
}
REFUND_STATES = {
    "processing": RefundState.PROCESSING,
    "refunded": RefundState.REFUNDED,
    "rejected": RefundState.REJECTED,
    "refused": RefundState.REJECTED,
}


class PayoutAnswer(BaseModel):
    key: str
    id: str
    state: Literal["processing", "paid", "rejected", "refused", "returned"]
    amount_centavos: Units
    end_to_end_id: str | None
    reason: str | None

    def report(self, key: str) -> PayoutReport:
        """:raises PayoutUnknown: it is about another payout."""
        if self.key != key:
            raise PayoutUnknown("the provider answered about another payout")
        return PayoutReport(
            state=PAYOUT_STATES[self.state],
            amount_centavos=self.amount_centavos,
            provider_id=self.id,
            end_to_end_id=self.end_to_end_id,
            reason=self.reason,
        )


class _Receipt(BaseModel):
    end_to_end_id: str
    amount_centavos: Units
    time: AwareDatetime
    payer_tax_id: str | None
    blocked: bool
    taken_back_centavos: Units


class ChargeAnswer(BaseModel):
    key: str
    id: str
    state: Literal["active", "paid", "removed"]
    amount_centavos: Units
    br_code: str
    receipts: list[_Receipt]

    def report(self, key: str) -> ChargeReport:
        """:raises PayoutUnknown: it is about another charge."""
        if self.key != key:
            raise PayoutUnknown("the provider answered about another charge")
        return ChargeReport(
            state=ChargeState(self.state),
            amount_centavos=self.amount_centavos,
            provider_id=self.id,
            br_code=self.br_code,
            receipts=tuple(
                Receipt(
                    end_to_end_id=each.end_to_end_id,
                    amount_centavos=each.amount_centavos,
                    time=each.time,
                    payer_tax_id=each.payer_tax_id,
                    blocked=each.blocked,
                    taken_back_centavos=each.taken_back_centavos,
                )
                for each in self.receipts
            ),
        )


class RefundAnswer(BaseModel):
    key: str
    state: Literal["processing", "refunded", "rejected", "refused"]
    end_to_end_id: str
    amount_centavos: Units
    return_id: str | None
    reason: str | None

    def report(self, order: RefundOrder) -> RefundReport:
        """:raises PayoutUnknown: it is about another refund.
        :raises OperationKeyReused: the refund of this key is of another receipt or amount.
        """
        if self.key != order.key:
            raise PayoutUnknown("the provider answered about another refund")
        if (self.end_to_end_id, self.amount_centavos) != (order.end_to_end_id, order.amount_centavos):
            raise OperationKeyReused(f"the provider knows refund {order.key} with another content")
        return RefundReport(
            state=REFUND_STATES[self.state],
            amount_centavos=self.amount_centavos,
            return_id=self.return_id,
            reason=self.reason,
        )


class DisputeAnswer(BaseModel):
    id: str
    state: Literal["open", "won", "lost"]
    end_to_end_id: str
    amount_centavos: Units
    answer_until: AwareDatetime | None
    reason: str | None

    def report(self, dispute_id: str) -> DisputeReport:
        """:raises PayoutUnknown: it is about another dispute."""
        if self.id != dispute_id:
            raise PayoutUnknown("the provider answered about another dispute")
        return DisputeReport(
            id=self.id,
            state=DisputeState(self.state),
            end_to_end_id=self.end_to_end_id,
            amount_centavos=self.amount_centavos,
            answer_until=self.answer_until,
            reason=self.reason,
        )


class Balance(BaseModel):
    available_centavos: Units


class _Line(BaseModel):
    id: str
    key: str | None
    end_to_end_id: str | None
    amount_centavos: Units
    time: AwareDatetime


class Statement(BaseModel):
    lines: list[_Line]

    def read(self) -> list[StatementLine]:
        return [
            StatementLine(line.id, line.key, line.end_to_end_id, line.amount_centavos, line.time)
            for line in self.lines
        ]
