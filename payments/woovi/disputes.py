"""Disputes at Woovi: claims of a payer's bank (MED) or of a payer on a PIX that we received.

Source: docs/disputa/*.md, docs/webhook/examples/webhook-*-payload.mdx, docs/arquivos/upload-de-arquivo.md.
"""

import hashlib

from models.errors import PayoutRefused, PayoutUnknown
from payments.protocol import DisputeReport, DisputeState
from payments.woovi.answers import Dispute, DisputeAnswer, FileAnswer, TransactionAnswer
from payments.woovi.client import WooviClient, segment
from payments.woovi.pdf import text_as_pdf

STATES = {
    "ACCEPTED": DisputeState.LOST,
    "REJECTED": DisputeState.WON,
    "CANCELED": DisputeState.WON,
}
"""What becomes of the claim. ``IN_REVIEW``, ``OPENED`` and words never heard of are no end."""

NOT_BY_FILE = "DISPUTE_EVIDENCE_FILE_ID_NOT_ALLOWED"
TITLE = "Defesa"


class Disputes:
    def __init__(self, client: WooviClient) -> None:
        self._client = client

    async def find(self, dispute_id: str) -> DisputeReport:
        """See :meth:`payments.protocol.PixDisputes.find_dispute`.

        A MED comes without an amount: then the whole receipt is claimed, which is the most that it can be.
        """
        async with self._client.limited():
            dispute = await self._look(dispute_id)
            return DisputeReport(
                id=dispute_id,
                state=_state(dispute),
                end_to_end_id=dispute.end_to_end_id,
                amount_centavos=dispute.value or await self._received(dispute.end_to_end_id),
            )

    async def defend(self, dispute_id: str, statement: str) -> None:
        """See :meth:`payments.protocol.PixDisputes.defend`: as a PDF, stored under a key made of what it says.

        A repetition hands in the same file; whether Woovi then lists it twice is not published.
        """
        async with self._client.limited():
            _still_open(await self._look(dispute_id))
            key = hashlib.sha256(f"{dispute_id}\n{statement}".encode()).hexdigest()[:32]
            stored = await self._client.upload("DISPUTE_EVIDENCE", key, f"{key}.pdf", text_as_pdf(statement))
            answer = await self._client.call(
                "POST",
                f"/api/v1/dispute/{segment(dispute_id)}/evidence",
                json={
                    "documents": [
                        {"fileId": stored.read(FileAnswer).file.id, "description": TITLE, "correlationID": key}
                    ]
                },
            )
            if answer.is_success:
                return
            if answer.code == NOT_BY_FILE:
                raise PayoutUnknown("the provider does not let us hand in files: ask it for the feature")
            _still_open(await self._look(dispute_id))
            raise answer.unknown()

    async def _look(self, dispute_id: str) -> Dispute:
        answer = await self._client.call("GET", f"/api/v1/dispute/{segment(dispute_id)}")
        dispute = answer.read(DisputeAnswer).dispute
        if dispute.id not in {None, dispute_id} and dispute.end_to_end_id != dispute_id:
            raise PayoutUnknown("the provider answered about another dispute")
        return dispute

    async def _received(self, end_to_end_id: str) -> int:
        answer = await self._client.call("GET", f"/api/v1/transaction/{segment(end_to_end_id)}")
        transaction = answer.read(TransactionAnswer).transaction
        if transaction.end_to_end_id != end_to_end_id or transaction.value is None:
            raise PayoutUnknown("the provider answered about another transaction")
        return transaction.value


def _state(dispute: Dispute) -> DisputeState:
    return STATES.get(dispute.status.upper(), DisputeState.OPEN)


def _still_open(dispute: Dispute) -> None:
    if _state(dispute) is not DisputeState.OPEN:
        raise PayoutRefused("the dispute is decided", reason=dispute.status.upper())
