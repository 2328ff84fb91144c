"""How the sandbox bank misbehaves, one name per kind of bad day.

A mood is asked for by one payout, in the tag of its PIX e-mail key (``ana+rejected@example.com``,
several joined by dots: ``ana+slow.rejected@example.com``); by one call, in the header ``X-Sandbox-Mood``; by one
payment of a charge, in its body; or for what is to come, whoever sends it, by ``PUT /sandbox/moods``.
"""

from collections.abc import Iterable
from enum import StrEnum


class Queue(StrEnum):
    """What moods are set for. Each has its own standing moods."""

    PAYOUTS = "payouts"
    CHARGES = "charges"
    RECEIPTS = "receipts"
    REFUNDS = "refunds"


class Mood(StrEnum):
    """Each value is the name used in tags, header and ``PUT /sandbox/moods``."""

    REJECTED = "rejected"
    """Accepted, then rejected by the receiving bank: a payout with AC03, a refund with AC07."""
    REFUSED = "refused"
    """A definitive no in the answer itself: 422 ``payout_refused``, ``charge_refused`` or ``refund_refused``, for
    ever for this key.
    """
    TIMEOUT_AFTER_ACCEPTING = "timeout_after_accepting"
    """Accepted, and the answer comes only after ``--hang-seconds``."""
    ERROR_504_AFTER_ACCEPTING = "error_504_after_accepting"
    """Accepted, and the answer is a gateway's 504."""
    DROP_CONNECTION_AFTER_ACCEPTING = "drop_connection_after_accepting"
    """Accepted, and the connection is reset without an answer."""
    ERROR_500_BEFORE_ACCEPTING = "error_500_before_accepting"
    """500, nothing recorded. By tag or header once per key: the next submit is accepted."""
    NO_BALANCE = "no_balance"
    """409 ``insufficient_provider_balance``, nothing recorded. By tag or header once per key."""
    LIMIT_REACHED = "limit_reached"
    """409 ``limit_reached``, nothing recorded. By tag or header once per key."""
    DARK = "dark"
    """From now on every ``/v1`` call answers 503, until ``DELETE /sandbox/moods``. By tag once per key."""
    SLOW = "slow"
    """Settles after ``--slow-seconds``. A charge has nothing to settle: it is answered after them."""
    RETURNED = "returned"
    """Paid, and ``--return-seconds`` later sent back by the receiving bank (MD06)."""
    BLOCKED = "blocked"
    """Received under a precautionary block: in the balance, not available, and told with the amount 0."""
    WEBHOOK_DUPLICATE = "webhook_duplicate"
    """Every webhook is delivered three times, with one webhook-id."""
    WEBHOOK_NEVER = "webhook_never"
    """No webhook until ``POST /sandbox/webhooks/{key}/resend``."""
    WEBHOOK_BEFORE_RESPONSE = "webhook_before_response"
    """Settled, and its webhook answered, before the submit is answered with ``processing``. The payment of a
    charge is answered after its webhook was.
    """
    WEBHOOK_OUT_OF_ORDER = "webhook_out_of_order"
    """``payout.processing`` follows a little after ``payout.paid``, ``refund.processing`` after ``refund.refunded``;
    ``charge.paid`` comes a little late, so that what happens to the receipt at once overtakes it.
    """
    WEBHOOK_STALE = "webhook_stale"
    """Webhooks are rightly signed with a time one hour ago, and not repeated once answered."""
    WEBHOOK_FORGED = "webhook_forged"
    """Webhooks are signed with another secret, and not repeated once answered."""


Moods = frozenset[Mood]

BEFORE_ACCEPTING = frozenset({Mood.ERROR_500_BEFORE_ACCEPTING, Mood.NO_BALANCE, Mood.LIMIT_REACHED, Mood.DARK})
"""Moods after which the bank has never heard of it."""

OF_WEBHOOKS = frozenset(mood for mood in Mood if mood.startswith("webhook_"))
"""Of a charge they pass to each receipt that pays it, of a receipt to its dispute."""

FITTING: dict[Queue, Moods] = {
    Queue.PAYOUTS: frozenset(Mood) - {Mood.BLOCKED},
    Queue.CHARGES: frozenset(Mood)
    - {Mood.REJECTED, Mood.RETURNED, Mood.BLOCKED, Mood.NO_BALANCE, Mood.LIMIT_REACHED},
    Queue.RECEIPTS: OF_WEBHOOKS | {Mood.BLOCKED},
    Queue.REFUNDS: frozenset(Mood) - {Mood.RETURNED, Mood.BLOCKED, Mood.LIMIT_REACHED},
}


class UnknownMood(ValueError):
    """A word that names no mood, or none that means anything here."""


def parse_moods(words: Iterable[str], queue: Queue) -> Moods:
    """:raises UnknownMood: a misspelt or misplaced mood must not pass for good weather."""
    asked = frozenset(words)
    if not asked <= FITTING[queue]:
        raise UnknownMood(f"moods of {queue} are: {', '.join(mood for mood in Mood if mood in FITTING[queue])}")
    return frozenset(Mood(word) for word in asked)


def stored_moods(words: str) -> Moods:
    return frozenset(Mood(word) for word in words.split())


def header_moods(header: str, queue: Queue) -> Moods:
    return parse_moods((word for word in header.replace(",", ".").replace(" ", "").split(".") if word), queue)


def tagged_moods(pix_key: str) -> Moods:
    """Moods in an e-mail key's tag; a tag with any other word is an honest customer's own."""
    local, _, _ = pix_key.partition("@")
    _, _, tag = local.partition("+")
    try:
        return parse_moods((word for word in tag.split(".") if word), Queue.PAYOUTS)
    except UnknownMood:
        return frozenset()
