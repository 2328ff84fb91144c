"""Who may do what to a trade, and what happens to it by itself. Pure: no clock, no database.

Every state, command and party has one answer: the step, or a coded refusal with a sentence. What decides is who would
lose by it: the buyer may always give up, the seller always release, and nobody takes the coins back from a buyer who
may have paid.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from models.errors import Forbidden, IllegalTransition, Refused
from models.p2p_order.types import Settlement
from models.p2p_trade.states import ENDED, P2PTradeStatus
from models.p2p_trade.types import Command, P2PTrade, Party, Step

S, C, P = P2PTradeStatus, Command, Party

UNDONE_MOST = 3
"""Each undoing gives the buyer at least :data:`SECOND_CHANCE` more, so it is not for ever."""
SECOND_CHANCE = timedelta(minutes=1)


class Refusal(StrEnum):
    TRADE_OVER = "trade_over"
    NOT_YOUR_PART = "not_your_part"
    BUYER_MAY_BE_PAYING = "buyer_may_be_paying"
    PAYMENT_CLAIMED = "payment_claimed"
    PAYMENT_SENT_BEFORE = "payment_sent_before"
    PAYMENT_IS_WATCHED = "payment_is_watched"
    WINDOW_OVER = "window_over"
    NOTHING_TO_UNDO = "nothing_to_undo"
    UNDONE_TOO_OFTEN = "undone_too_often"
    NOT_PAID_YET = "not_paid_yet"
    NOTHING_TO_DISPUTE = "nothing_to_dispute"
    IN_DISPUTE = "in_dispute"


R = Refusal

SENTENCES: dict[Refusal, str] = {
    R.TRADE_OVER: "the trade is {status}; it takes no more commands",
    R.NOT_YOUR_PART: "this is for the trade's other party to say",
    R.BUYER_MAY_BE_PAYING: "the buyer may be paying just now; if they do not, the trade expires by itself",
    R.PAYMENT_CLAIMED: "the buyer says that they paid: confirm the payment, or open a dispute",
    R.PAYMENT_SENT_BEFORE: "the payment is marked as sent already; the seller is to confirm it",
    R.PAYMENT_IS_WATCHED: "the bank says by itself when this trade is paid",
    R.WINDOW_OVER: "the time to pay is over; do not pay any more",
    R.NOTHING_TO_UNDO: "the payment is not marked as sent",
    R.UNDONE_TOO_OFTEN: "this was undone too often: cancel the trade, or wait for the seller",
    R.NOT_PAID_YET: "the buyer has not said yet that they paid",
    R.NOTHING_TO_DISPUTE: "nobody says that anything was paid, so there is nothing to dispute yet",
    R.IN_DISPUTE: "the trade is in dispute: the buyer may give up, the seller release, or an arbiter decides",
}

_ALLOWED: dict[tuple[P2PTradeStatus, Command, Party], Step] = {
    (S.OPEN, C.PAYMENT_SENT, P.BUYER): Step(S.PAYMENT_SENT),
    (S.OPEN, C.CANCEL, P.BUYER): Step(S.CANCELLED, "cancelled_by_buyer"),
    (S.PAYMENT_SENT, C.UNDO_PAYMENT_SENT, P.BUYER): Step(S.OPEN, "payment_undone"),
    (S.PAYMENT_SENT, C.CANCEL, P.BUYER): Step(S.CANCELLED, "buyer_gave_up"),
    (S.PAYMENT_SENT, C.CONFIRM_PAYMENT, P.SELLER): Step(S.COMPLETED, "confirmed_by_seller"),
    (S.PAYMENT_SENT, C.DISPUTE, P.BUYER): Step(S.DISPUTED, "disputed_by_buyer"),
    (S.PAYMENT_SENT, C.DISPUTE, P.SELLER): Step(S.DISPUTED, "disputed_by_seller"),
    (S.DISPUTED, C.CONFIRM_PAYMENT, P.SELLER): Step(S.COMPLETED, "confirmed_by_seller"),
    (S.DISPUTED, C.CANCEL, P.BUYER): Step(S.REFUNDED, "buyer_gave_up"),
}
_ALLOWED_IN: dict[Settlement, dict[tuple[P2PTradeStatus, Command, Party], Step | Refusal]] = {
    # Both legs are held, so nothing can be on its way outside: paying is one step, and either may leave before it.
    Settlement.BALANCE: {
        (S.OPEN, C.PAYMENT_SENT, P.BUYER): Step(S.COMPLETED, "paid_from_balance"),
        (S.OPEN, C.CANCEL, P.SELLER): Step(S.CANCELLED, "cancelled_by_seller"),
    },
    Settlement.CHARGE: {(S.OPEN, C.PAYMENT_SENT, P.BUYER): R.PAYMENT_IS_WATCHED},
    Settlement.DIRECT: {},
}
_ONLY = {C.PAYMENT_SENT: P.BUYER, C.UNDO_PAYMENT_SENT: P.BUYER, C.CONFIRM_PAYMENT: P.SELLER}
"""Never the other one's to say, in whatever state."""

_REFUSED: dict[tuple[P2PTradeStatus, Command], Refusal] = {
    (S.OPEN, C.UNDO_PAYMENT_SENT): R.NOTHING_TO_UNDO,
    (S.OPEN, C.CONFIRM_PAYMENT): R.NOT_PAID_YET,
    (S.OPEN, C.CANCEL): R.BUYER_MAY_BE_PAYING,
    (S.OPEN, C.DISPUTE): R.NOTHING_TO_DISPUTE,
    (S.PAYMENT_SENT, C.PAYMENT_SENT): R.PAYMENT_SENT_BEFORE,
    (S.PAYMENT_SENT, C.CANCEL): R.PAYMENT_CLAIMED,
    (S.DISPUTED, C.PAYMENT_SENT): R.IN_DISPUTE,
    (S.DISPUTED, C.UNDO_PAYMENT_SENT): R.IN_DISPUTE,
    (S.DISPUTED, C.CANCEL): R.IN_DISPUTE,
    (S.DISPUTED, C.DISPUTE): R.IN_DISPUTE,
}


def judge(
    status: P2PTradeStatus,
    command: Command,
    party: Party,
    settlement: Settlement,
    *,
    is_late: bool = False,
    undone: int = 0,
) -> Step | Refusal:
    """The step that ``command`` takes, or why it takes none.

    :param is_late: the present state's deadline is over.
    :param undone: how often the buyer has taken back the word that they paid.
    """
    if _ONLY.get(command, party) is not party:
        return R.NOT_YOUR_PART
    if status in ENDED:
        return R.TRADE_OVER
    case = (status, command, party)
    found = _ALLOWED_IN[settlement].get(case) or _ALLOWED.get(case) or _REFUSED[status, command]
    if status is S.OPEN and command is C.PAYMENT_SENT and is_late and isinstance(found, Step):
        return R.WINDOW_OVER
    if command is C.UNDO_PAYMENT_SENT and undone >= UNDONE_MOST and isinstance(found, Step):
        return R.UNDONE_TOO_OFTEN
    return found


def refuse(refusal: Refusal, status: P2PTradeStatus) -> Refused:
    """The refusal as an error, to raise."""
    words = SENTENCES[refusal].format(status=status)
    return Forbidden(words) if refusal is R.NOT_YOUR_PART else IllegalTransition(words)


def next_step(trade: P2PTrade, now: datetime) -> Step | None:
    """What the clock alone demands. Time never decides about a payment that somebody claims: people do."""
    if trade.deadline_at is None:
        return None
    is_late = now >= trade.deadline_at
    if trade.status is S.OPEN:
        return Step(S.EXPIRED, "not_paid_in_time") if is_late else None
    if is_late:
        return Step(S.DISPUTED, "confirmation_window_over")
    return Step(trade.status, "seller_reminded") if now >= wakes_at(trade) and trade.reminded_at is None else None


def wakes_at(trade: P2PTrade) -> datetime:
    """When something happens by itself to a trade with a deadline; of a claimed payment first a reminder half way."""
    if trade.deadline_at is None:
        raise ValueError("this trade waits for people only")
    if trade.status is S.PAYMENT_SENT and trade.reminded_at is None:
        return trade.deadline_at - timedelta(seconds=trade.confirm_seconds / 2)
    return trade.deadline_at


def deadline_of(trade: P2PTrade, status: P2PTradeStatus, now: datetime) -> datetime | None:
    """When ``status``, entered now, ends by itself."""
    if status is S.OPEN:
        return max(trade.created_at + timedelta(seconds=trade.window_seconds), now + SECOND_CHANCE)
    return now + timedelta(seconds=trade.confirm_seconds) if status is S.PAYMENT_SENT else None
