"""The lines between which a process may die, each a case of the crash matrix.

``at`` names a place in the product: ``before``/``after`` a function, or ``begin``/``end`` of an activity, where
``=delivering`` means the one that reports this status. A line
that says *uncommitted* is inside a database transaction, so a crash there must leave nothing of it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    WORKER = "kill -9 worker"
    TEMPORAL = "kill -9 Temporal"
    POSTGRES = "kill -9 PostgreSQL"


@dataclass(frozen=True)
class Step:
    """``funding``: the trade on which the step happens: a sale from ``custody`` or by ``deposit``, a purchase that is
    paid rightly (``pix``), or one that a stranger pays first (``stranger``). ``why``: what the moment is, in words.

    ``edge``: money is just leaving or entering. At these every fault is tried in each test run; at the others
    the worker's death is, and the rest when the matrix is rebuilt. ``rare``: all of it only then.
    """

    name: str
    at: str
    why: str
    funding: str = "custody"
    edge: bool = False
    rare: bool = False

    @property
    def is_purchase(self) -> bool:
        return self.funding in {"pix", "stranger"}


STEPS = (
    Step("relay-before-start", "before api.engine:start_once", "trade accepted, its workflow not started"),
    Step(
        "relay-after-start",
        "after api.engine:start_once",
        "workflow started, the message not marked as sent",
        edge=True,
    ),
    Step("prepare-begin", "begin chain.prepare", "nothing of the transfer done"),
    Step("offer-uncommitted", "after models.transfer.writes:offer_fee", "fee on offer, uncommitted"),
    Step("prepare-end", "end chain.prepare", "fee on offer, not reported"),
    Step("sign-reserved", "after models.transfer.writes:reserve_nonce", "nonce reserved, uncommitted"),
    Step("sign-uncommitted", "after models.transfer.writes:store_signed", "signed, bytes uncommitted"),
    Step("sign-end", "end custody.sign", "bytes stored, not reported", edge=True),
    Step("broadcast-begin", "begin chain.broadcast", "bytes stored, not handed in"),
    Step("broadcast-sent", "after chains.evm.node:EvmNode.broadcast", "handed to the node, not noted", edge=True),
    Step("broadcast-noted", "after models.transfer.writes:mark_broadcast", "handed in, note uncommitted"),
    Step("broadcast-end", "end chain.broadcast", "handed in and noted, not reported"),
    Step("seen-uncommitted", "after models.transfer.writes:record_sighting", "seen on chain, uncommitted"),
    Step("owed-uncommitted", "after models.payout.writes:order", "sale booked and payout ordered, uncommitted"),
    Step("owed-end", "end instant_trade.advance", "sale booked and payout ordered, not reported", edge=True),
    Step("pay-begin", "begin pix.settle", "payout ordered, nothing sent"),
    Step("pay-marked", "after models.payout.writes:mark_submitting", "about to send, mark uncommitted"),
    Step("pay-before-send", "before payments.sandbox_provider:SandboxProvider.payout", "marked, not sent", edge=True),
    Step(
        "pay-sent",
        "after payments.sandbox_provider:SandboxProvider.payout",
        "the bank has it, we do not know",
        edge=True,
    ),
    Step("pay-learned", "after models.payout.writes:record", "the bank's answer written, uncommitted"),
    Step("pay-end", "end pix.settle", "the bank's answer committed, not reported"),
    Step(
        "close-uncommitted", "after models.instant_trade.effects:_complete", "payout booked, uncommitted", edge=True
    ),
    Step(
        "deposit-found", "before models.deposit.writes:record", "deposit read from the chain, not written", "deposit"
    ),
    Step(
        "deposit-written", "after models.deposit.writes:record", "deposit written, uncommitted", "deposit", edge=True
    ),
    Step("deposit-booked", "after models.deposit.writes:book", "deposit booked, uncommitted", "deposit"),
    Step(
        "charge-marked",
        "after models.charge.writes:mark_submitted",
        "charge about to be sent, mark uncommitted",
        "pix",
        rare=True,
    ),
    Step(
        "charge-before-send",
        "before payments.sandbox_provider:SandboxProvider.charge",
        "marked, the bank asked for no charge",
        "pix",
        rare=True,
    ),
    Step(
        "charge-sent",
        "after payments.sandbox_provider:SandboxProvider.charge",
        "the bank has made the charge, we do not know",
        "pix",
        edge=True,
    ),
    Step("charge-active", "after models.charge.writes:activate", "BR Code written, uncommitted", "pix", rare=True),
    Step("receipt-seen", "after models.receipt.writes:see", "payment booked, uncommitted", "pix", rare=True),
    Step(
        "receipt-credited",
        "after models.receipt.writes:credit",
        "payment credited, uncommitted",
        "pix",
        edge=True,
    ),
    Step("charge-end", "end charge.look", "BR Code committed, not reported", "pix", rare=True),
    Step(
        "bought-uncommitted",
        "after models.instant_trade.buy_effects:_deliver",
        "purchase booked and delivery ordered, uncommitted",
        "pix",
    ),
    Step(
        "bought-end",
        "end instant_trade.advance=delivering",
        "purchase booked and delivery ordered, not reported",
        "pix",
        edge=True,
    ),
    Step("delivery-begin", "begin chain.prepare", "nothing of the delivery done", "pix", rare=True),
    Step(
        "delivery-signed",
        "after models.transfer.writes:store_signed",
        "delivery signed, bytes uncommitted",
        "pix",
        rare=True,
    ),
    Step("delivery-sign-end", "end custody.sign", "delivery signed and stored, not reported", "pix"),
    Step(
        "delivery-sent",
        "after chains.evm.node:EvmNode.broadcast",
        "delivery handed to the node, not noted",
        "pix",
        edge=True,
    ),
    Step(
        "delivery-seen",
        "after models.transfer.writes:record_sighting",
        "delivery seen on chain, uncommitted",
        "pix",
        rare=True,
    ),
    Step(
        "delivered-uncommitted",
        "after models.instant_trade.buy_effects:_complete",
        "delivery booked, uncommitted",
        "pix",
    ),
    Step(
        "refund-ordered",
        "after models.pix_refund.writes:order",
        "devolução ordered, uncommitted",
        "stranger",
        rare=True,
    ),
    Step(
        "refund-marked",
        "after models.pix_refund.writes:mark_submitting",
        "devolução about to be sent, mark uncommitted",
        "stranger",
        rare=True,
    ),
    Step(
        "refund-before-send",
        "before payments.sandbox_provider:SandboxProvider.refund",
        "marked, the devolução not sent",
        "stranger",
    ),
    Step(
        "refund-sent",
        "after payments.sandbox_provider:SandboxProvider.refund",
        "the bank sends the PIX back, we do not know",
        "stranger",
        edge=True,
    ),
    Step(
        "refund-learned",
        "after models.pix_refund.writes:record",
        "the bank's answer written, uncommitted",
        "stranger",
        rare=True,
    ),
    Step(
        "refund-booked",
        "after models.receipt.writes:end_refund",
        "devolução booked, uncommitted",
        "stranger",
        rare=True,
    ),
    Step("refund-end", "end pix_refund.settle", "the devolução's end committed, not reported", "stranger", rare=True),
)
