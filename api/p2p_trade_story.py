"""Why a P2P trade is where it is, in plain words, to each of the two."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.views import reais
from models.p2p_order.types import Settlement
from models.p2p_trade.party import Party
from models.p2p_trade.rules import SENTENCES, Refusal, judge, wakes_at
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import Command, P2PTrade

S, P, T = P2PTradeStatus, Party, Settlement
Who = Literal["buyer", "seller", "bank", "arbiter", "nobody"]


@dataclass(frozen=True, slots=True)
class Story:
    """One state. ``who``: must act. ``then``: what happens by itself, or what may."""

    waits_for: str
    who: Who
    then: str


_OVER = "Nothing: it has ended."
STORIES: dict[P2PTradeStatus, Story] = {
    S.OPEN: Story(
        "the buyer to pay R$ {total} to the seller's own account, and to say so",
        "buyer",
        "If the buyer does not say in time that they paid, the trade expires and the coins go back to the seller.",
    ),
    S.PAYMENT_SENT: Story(
        "the seller to see R$ {total} on their account, and to confirm it",
        "seller",
        "Half way to the deadline the seller is reminded; at the deadline a dispute opens by itself. The coins stay "
        "held meanwhile.",
    ),
    S.DISPUTED: Story(
        "a ruling on who gets what is held",
        "arbiter",
        "Nothing happens by itself. The seller may still release the coins, and the buyer may still give up.",
    ),
    S.COMPLETED: Story("nothing: the coins are the buyer's", "nobody", _OVER),
    S.REFUNDED: Story("nothing: the coins went back to the seller", "nobody", _OVER),
    S.SPLIT: Story("nothing: what was held was divided between the two", "nobody", _OVER),
    S.CANCELLED: Story("nothing: it was cancelled, and the coins went back to the seller", "nobody", _OVER),
    S.EXPIRED: Story("nothing: it was not paid in time, and the coins went back to the seller", "nobody", _OVER),
}
OPEN_OTHERWISE: dict[Settlement, Story] = {
    T.BALANCE: Story(
        "the buyer to pay R$ {total} of their balance, where they are held",
        "buyer",
        "Paying it completes the trade at once. If the buyer does not in time, the trade expires, and all goes back.",
    ),
    T.CHARGE: Story(
        "the buyer's PIX of R$ {total} to arrive at the bank",
        "buyer",
        "Its arrival completes the trade by itself. If it is not paid in time, the trade expires.",
    ),
}
DISPUTED_OTHERWISE: dict[Settlement, Story] = {
    T.CHARGE: Story(
        "the bank, which keeps the buyer's PIX of R$ {total} for longer than it should",
        "bank",
        "The bank's word ends it by itself: the PIX completes the trade, its return gives the coins back. Until then "
        "an arbiter, or the buyer, can only give the coins back.",
    ),
}
SENT_OTHERWISE: dict[Settlement, Story] = {
    T.CHARGE: Story(
        "the bank, which has the buyer's PIX of R$ {total} and keeps it for now",
        "bank",
        "If the bank lets it go, that completes the trade; if it gives it back, the trade is open again. If it does "
        "neither in time, a dispute opens by itself.",
    ),
}
OTHERWISE: dict[P2PTradeStatus, dict[Settlement, Story]] = {
    S.OPEN: OPEN_OTHERWISE,
    S.PAYMENT_SENT: SENT_OTHERWISE,
    S.DISPUTED: DISPUTED_OTHERWISE,
}
REASONS: dict[str, str] = {
    "pix_received": "the buyer's PIX arrived, and it is the right one",
    "payment_blocked": "the bank has the buyer's PIX and keeps it while it looks at it",
    "payment_went_back": "the bank gave the buyer's PIX back",
    "charge_refused": "the bank would not make the PIX charge",
    "block_not_lifted": "the bank kept the buyer's PIX for longer than it may",
    "cancelled_by_buyer": "the buyer cancelled it before paying",
    "cancelled_by_seller": "the seller cancelled it before the buyer paid",
    "payment_undone": "the buyer took back the word that they paid",
    "buyer_gave_up": "the buyer gave up",
    "confirmed_by_seller": "the seller confirmed the payment",
    "paid_from_balance": "the buyer paid from their balance",
    "not_paid_in_time": "the buyer did not say in time that they paid",
    "seller_reminded": "the seller was reminded",
    "confirmation_window_over": "the seller did not confirm the payment in time",
    "disputed_by_buyer": "the buyer opened a dispute",
    "disputed_by_seller": "the seller opened a dispute",
}


class CommandShown(BaseModel):
    """What the reader may order now, and why not the rest."""

    command: Command
    allowed: bool
    refusal: Refusal | None = Field(description="a code; null where it is allowed")
    because: str | None = Field(description="the same in a sentence")


class P2PWaiting(BaseModel):
    summary: str = Field(description="all of it in a sentence or two")
    status: P2PTradeStatus
    waits_for: str
    who_must_act: Who
    is_your_turn: bool
    until: datetime | None = Field(description="null: nobody's clock runs")
    next: str = Field(description="what happens by itself next")
    next_at: datetime | None = Field(description="when; null: nothing does")
    because: str | None = Field(description="how it came to this status, where the status does not say it")
    commands: list[CommandShown] = Field(description="empty for operators")


def story_of(trade: P2PTrade) -> Story:
    """The present state, with the names of its figures still open."""
    return OTHERWISE.get(trade.status, {}).get(trade.settlement, STORIES[trade.status])


def waiting(trade: P2PTrade, party: Party | None, *, undone: int, now: datetime) -> P2PWaiting:
    """:param party: whom it is told to; None: an operator."""
    story = story_of(trade)
    waits_for = story.waits_for.format(total=reais(trade.total_centavos))
    until = trade.deadline_at
    deadline = "" if until is None else f", until {until.isoformat(timespec='seconds')}"
    return P2PWaiting(
        summary=f"It waits for {waits_for}{deadline}. {story.then}",
        status=trade.status,
        waits_for=waits_for,
        who_must_act=story.who,
        is_your_turn=party is not None and story.who == party,
        until=until,
        next=story.then,
        next_at=None if until is None else wakes_at(trade),
        because=None if trade.reason is None else REASONS.get(trade.reason),
        commands=[] if party is None else commands(trade, party, undone=undone, now=now),
    )


def commands(trade: P2PTrade, party: Party, *, undone: int, now: datetime) -> list[CommandShown]:
    """Each command's answer, should it be given now."""
    is_late = trade.deadline_at is not None and now >= trade.deadline_at
    shown = []
    for command in Command:
        found = judge(trade.status, command, party, trade.settlement, is_late=is_late, undone=undone)
        if isinstance(found, Refusal):
            words = SENTENCES[found].format(status=trade.status)
            shown.append(CommandShown(command=command, allowed=False, refusal=found, because=words))
        else:
            shown.append(CommandShown(command=command, allowed=True, refusal=None, because=None))
    return shown
