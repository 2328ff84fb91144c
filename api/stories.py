"""Why a trade is where it is, in plain words: by status, by what is in review, by reason."""

from dataclasses import dataclass
from typing import Literal

from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Lock, Trade
from models.quote.types import Side

S = TradeStatus
Who = Literal["you", "the network", "the PIX provider", "an operator", "nobody"]


@dataclass(frozen=True, slots=True)
class Story:
    """One state in plain words, with the trade's own figures put in.

    ``lock``: the one whose end ends the waiting; None: no end is set.
    """

    waits_for: str
    who: Who
    then: str
    lock: Lock | None = None


STORIES: dict[TradeStatus, Story] = {
    S.AWAITING_DEPOSIT: Story(
        "your deposit of {amount} {asset} on {network} to {address}",
        "you",
        "Deposits add up. If the amount is not reached in time, what arrived is sent back to your refund address; "
        "if nothing arrived, the trade expires. What is more, or late, is sent back.",
        Lock.DEPOSIT_WINDOW,
    ),
    S.TRANSFERRING: Story(
        "the transfer of {amount} {asset} from your platform address to be taken into a block of {network}",
        "the network",
        "A transfer that is stuck is sent again with a higher fee, as the same transaction. If it is not final in "
        "time, an operator looks at it. If the network refuses it, the trade is cancelled and the coins stay yours.",
        Lock.CHAIN_TIMEOUT,
    ),
    S.CONFIRMING: Story(
        "enough confirmations of {amount} {asset} on {network}",
        "the network",
        "Then R$ {total} are paid out by PIX. If a reorganisation drops the block, we wait again; if it takes too "
        "long, an operator looks at it.",
        Lock.CHAIN_TIMEOUT,
    ),
    S.PAYING_OUT: Story(
        "the PIX provider to say what became of R$ {total}",
        "the PIX provider",
        "It is asked again and again, under one key, until it knows: paid ends the trade, rejected sends the crypto "
        "back. If it has not said so in time, an operator looks at it.",
        Lock.PAYOUT_DEADLINE,
    ),
    S.REFUNDING: Story(
        "the refund to be final on {network}",
        "the network",
        "Then the trade is refunded. If it is not final in time, an operator looks at it.",
        Lock.CHAIN_TIMEOUT,
    ),
    S.AWAITING_PAYMENT: Story(
        "your PIX of R$ {total}, from an account of your own",
        "you",
        "Any other payment goes back to its payer. If none came in time, the bank is asked once more, and the "
        "trade expires.",
        Lock.PAYMENT_WINDOW,
    ),
    S.CONFIRMING_PAYMENT: Story(
        "the bank to say what became of a PIX of R$ {total}",
        "the PIX provider",
        "What was paid in time still counts. A payment under the bank's precautionary block, which may last 72 "
        "hours, counts once it is lifted.",
        Lock.PAYMENT_DEADLINE,
    ),
    S.DELIVERING: Story(
        "{amount} {asset} to be final on {network}, at {address}",
        "the network",
        "A transfer that is stuck is sent again with a higher fee, as the same transaction. If the network refuses "
        "it, the reais go back; if it takes too long, an operator looks at it.",
        Lock.CHAIN_TIMEOUT,
    ),
    S.NEEDS_REVIEW: Story("a decision", "an operator", "Facts that arrive late still count, by themselves."),
    S.COMPLETED: Story("nothing: R$ {total} were paid", "nobody", "If the bank returns the PIX, the trade reopens."),
    S.CANCELLED: Story("nothing: it was cancelled", "nobody", "Nothing. Coins sent to it now are sent back."),
    S.EXPIRED: Story("nothing: no deposit came in time", "nobody", "Nothing. Coins sent to it now are sent back."),
    S.REFUNDED: Story("nothing: the coins went back", "nobody", "Nothing. Coins sent to it now are sent back."),
}

PURCHASES: dict[TradeStatus, Story] = {
    S.REFUNDING: Story(
        "the bank to send R$ {total} back (devolução)",
        "the PIX provider",
        "It is asked again and again, under one key, until it knows. If it refuses, or takes too long, an operator "
        "looks at it.",
        Lock.REFUND_DEADLINE,
    ),
    S.COMPLETED: Story("nothing: {amount} {asset} were delivered", "nobody", "Nothing."),
    S.CANCELLED: Story("nothing: it was cancelled", "nobody", "Nothing. What is paid on it now is sent back."),
    S.EXPIRED: Story("nothing: no payment came in time", "nobody", "Nothing. What is paid on it now is sent back."),
    S.REFUNDED: Story("nothing: what was paid went back", "nobody", "Nothing. What is paid on it now is sent back."),
}
"""Where a purchase's story differs from a sale's."""

REVIEWS: dict[str, Story] = {
    "transfer_not_final_in_time": Story(
        "the transfer of {amount} {asset}, which was not final in time",
        "an operator",
        "POST transfer looks after it now. Once it is final, POST complete says whether the reais are paid or the "
        "crypto goes back.",
    ),
    "deposit_not_final_in_time": Story(
        "the deposit of {amount} {asset}, which was not final in time",
        "an operator",
        "Once it is final, POST complete says whether the reais are paid or the crypto goes back.",
    ),
    "payout_outcome_unknown": Story(
        "the outcome of the payout of R$ {total}, which the PIX provider has not told",
        "an operator",
        "The provider is still asked, and its answer ends the waiting by itself. With evidence of what happened, "
        "POST confirm-payment ends it too. Nothing is sent twice meanwhile.",
    ),
    "payout_returned": Story(
        "a ruling: the receiving bank returned R$ {total}",
        "an operator",
        "POST complete: `complete` leaves the reais with the user as a balance, `refund` sends the crypto back.",
    ),
    "payment_unknown": Story(
        "the bank to say whether R$ {total} were paid, which it has not told in time",
        "an operator",
        "The bank is still asked. If nothing was paid, the trade expires by itself; if it was, POST complete says "
        "whether the coins are delivered or the reais go back.",
    ),
    "payment_still_blocked": Story(
        "R$ {total} that the bank has under its precautionary block",
        "an operator",
        "The bank's word ends the block by itself; then POST complete says whether the coins are delivered or the "
        "reais go back.",
    ),
    "delivery_not_final_in_time": Story(
        "the delivery of {amount} {asset}, which was not final in time",
        "an operator",
        "POST transfer looks after it now. Once it is final, the trade is completed by itself. While nothing was "
        "signed yet, POST complete with `refund` sends the reais back instead.",
    ),
    "refund_rejected": Story(
        "R$ {total} that the bank would not send back",
        "an operator",
        "POST transfer tries it anew, under a new key. POST complete with `complete` leaves the reais with the user "
        "as a balance.",
    ),
    "refund_not_done_in_time": Story(
        "R$ {total} on their way back, of which the bank has not told in time",
        "an operator",
        "The bank is still asked, and its answer ends the waiting by itself.",
    ),
    "refund_not_possible": Story(
        "the refund, which the network refused", "an operator", "POST transfer tries it anew, under a new key."
    ),
    "refund_not_final_in_time": Story(
        "the refund, which was not final in time",
        "an operator",
        "POST transfer looks after it now. Once it is final, the trade is refunded by itself.",
    ),
}
"""Of ``needs_review``, by its reason."""

REASONS: dict[str, str] = {
    "cancelled_by_user": "its user cancelled it before any coin moved",
    "no_deposit_in_time": "no deposit came before the window ended",
    "deposit_too_small": "the deposits were smaller than the amount when the window ended",
    "deposits_too_small_so_far": "the deposits do not reach the amount yet",
    "last_deposits_confirming": "the window has ended, and the last deposits are being confirmed",
    "transfer_not_possible": "the network refuses the transfer",
    "transfer_reverted": "the network undid the transfer: no coin moved",
    "transfer_left_the_chain": "a reorganisation dropped the transfer's block",
    "transfer_not_final_in_time": "the transfer was not final in time",
    "deposit_not_final_in_time": "the deposit was not final in time",
    "payout_rejected": "the PIX was rejected for good",
    "payout_outcome_unknown": "the PIX provider did not say in time what became of the payout",
    "payout_returned": "the receiving bank returned the PIX",
    "refund_not_possible": "the network refused the refund",
    "refund_not_final_in_time": "the refund was not final in time",
    "refund_tried_again": "an operator had the refund tried again",
    "payment_blocked": "the bank holds the payment under a precautionary block",
    "payment_still_blocked": "the bank's block of the payment did not end in time",
    "payment_unknown": "the bank did not say in time what was paid",
    "window_over": "the time to pay is over, and the bank is asked once more",
    "no_payment_in_time": "no payment came before the window ended",
    "charge_refused": "the bank refused to make the charge",
    "delivery_failed": "the network refused the delivery",
    "delivery_not_final_in_time": "the delivery was not final in time",
    "amount_differs": "another amount was paid than asked",
    "payer_unknown": "the bank does not say who paid",
    "payer_differs": "somebody else paid than the user",
    "paid_after_expiry": "it was paid after its time",
    "duplicate_payment": "it was paid more than once",
    "trade_over": "it was paid after the trade had ended",
    "refund_rejected": "the bank refused to send the payment back",
    "refund_not_done_in_time": "the payment was not sent back in time",
    "payment_taken_back": "the bank took the payment back",
    "late_confirmation": "the outcome became known after its time",
    "operator_ruling": "an operator ruled so",
}


def story_of(trade: Trade) -> Story:
    """The present state of this trade, with the names of its figures still open."""
    if trade.status is S.NEEDS_REVIEW and trade.reason in REVIEWS:
        return REVIEWS[trade.reason]
    if trade.operation is Side.BUY and trade.status in PURCHASES:
        return PURCHASES[trade.status]
    return STORIES[trade.status]
