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
from models.p2p_trade.types import ChargeFacts, Command, P2PTrade, Party, Step

S, C, P = P2PTradeStatus, Command, Party

UNDONE_MOST = 3
"""Each undoing gives the buyer at least :data:`SECOND_CHANCE` more, so it is not for ever."""
SECOND_CHANCE = timedelta(minutes=1)
BLOCK_MOST = timedelta(hours=96)
"""A bank's precautionary block ends after 72 hours (Bacen, Resolução BCB 1/2020, art. 39-B); a day for its word."""


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
    # The bank's word decides: what is under its block is not confirmed, taken back or disputed by people's.
    Settlement.CHARGE: {
        (S.OPEN, C.PAYMENT_SENT, P.BUYER): R.PAYMENT_IS_WATCHED,
        (S.PAYMENT_SENT, C.UNDO_PAYMENT_SENT, P.BUYER): R.PAYMENT_IS_WATCHED,
        (S.PAYMENT_SENT, C.CONFIRM_PAYMENT, P.SELLER): R.PAYMENT_IS_WATCHED,
        (S.PAYMENT_SENT, C.DISPUTE, P.BUYER): R.PAYMENT_IS_WATCHED,
        (S.PAYMENT_SENT, C.DISPUTE, P.SELLER): R.PAYMENT_IS_WATCHED,
        (S.DISPUTED, C.CONFIRM_PAYMENT, P.SELLER): R.PAYMENT_IS_WATCHED,
    },
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


def require_divisible(trade: P2PTrade, buyer_bps: int) -> None:
    """Whether people may give the buyer so much of the coins.

    :raises IllegalTransition: a charge pays for the trade. Its reais reach the seller only by the receipt that
        releases all of it; coins given away by words would be paid for with reais that then go back to the buyer.
    """
    if trade.settlement is Settlement.CHARGE and buyer_bps:
        raise IllegalTransition(
            "these coins are released by the bank's receipt alone; by words they only go back, all of them"
        )


def next_step(trade: P2PTrade, now: datetime, charge: ChargeFacts | None = None) -> Step | None:
    """What the clock and the bank demand. Time never decides about a payment that somebody claims: people do.

    :param charge: of a trade that is settled by one.
    """
    is_late = trade.deadline_at is not None and now >= trade.deadline_at
    if charge is not None and trade.status not in ENDED:
        return _next_of_charge(trade.status, charge, is_late=is_late)
    if trade.deadline_at is None:
        return None
    if trade.status is S.OPEN:
        return Step(S.EXPIRED, "not_paid_in_time") if is_late else None
    if is_late:
        return Step(S.DISPUTED, "confirmation_window_over")
    return Step(trade.status, "seller_reminded") if now >= wakes_at(trade) and trade.reminded_at is None else None


def _next_of_charge(status: P2PTradeStatus, charge: ChargeFacts, *, is_late: bool) -> Step | None:
    """The window is over once the bank was asked after it: until then nobody knows whether it was paid in time."""
    if status is S.DISPUTED:
        return None if charge.is_undecided or not charge.is_heard else Step(S.REFUNDED, "payment_went_back")
    if status is S.PAYMENT_SENT:
        if not charge.is_undecided:
            return Step(S.OPEN, "payment_went_back")
        return Step(S.DISPUTED, "block_not_lifted") if is_late else None
    if charge.is_undecided:
        return Step(S.PAYMENT_SENT, "payment_blocked")
    if charge.is_refused:
        return Step(S.CANCELLED, "charge_refused")
    return Step(S.EXPIRED, "not_paid_in_time") if is_late and charge.is_heard else None


def wakes_at(trade: P2PTrade) -> datetime:
    """When something happens by itself to a trade with a deadline; of a claimed payment first a reminder half way."""
    if trade.deadline_at is None:
        raise ValueError("this trade waits for people only")
    has_reminder = trade.settlement is not Settlement.CHARGE and trade.reminded_at is None
    if trade.status is S.PAYMENT_SENT and has_reminder:
        return trade.deadline_at - timedelta(seconds=trade.confirm_seconds / 2)
    return trade.deadline_at


def deadline_of(trade: P2PTrade, status: P2PTradeStatus, now: datetime) -> datetime | None:
    """When ``status``, entered now, ends by itself."""
    if status is S.OPEN:
        return max(trade.created_at + timedelta(seconds=trade.window_seconds), now + SECOND_CHANCE)
    if status is not S.PAYMENT_SENT:
        return None
    return now + (BLOCK_MOST if trade.settlement is Settlement.CHARGE else timedelta(seconds=trade.confirm_seconds))
