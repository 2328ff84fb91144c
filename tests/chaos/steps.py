"""The lines between which a process may die, each a case of the crash matrix.

``at`` names a place in the product: ``before``/``after`` a function, or ``begin``/``end`` of an activity. A line
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
    """``funding``: the trade on which the step happens. ``why``: what the moment is, in words.

    ``edge``: money is just leaving or entering. At these every fault is tried in each test run; at the others
    the worker's death is, and the rest when the matrix is rebuilt.
    """

    name: str
    at: str
    why: str
    funding: str = "custody"
    edge: bool = False


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
)
