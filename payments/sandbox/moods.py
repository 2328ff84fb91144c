"""How the sandbox bank misbehaves, one name per kind of bad day.

A mood is asked for by one payout, in the tag of its PIX e-mail key (``ana+rejected@example.com``,
several joined by dots: ``ana+slow.rejected@example.com``) or in the header ``X-Sandbox-Mood``; or for
the payouts to come, whoever sends them, by ``PUT /sandbox/moods``.
"""

from collections.abc import Iterable
from enum import StrEnum


class Mood(StrEnum):
    """Each value is the name used in tags, header and ``PUT /sandbox/moods``."""

    REJECTED = "rejected"
    """Accepted, then rejected by the receiving bank with AC03."""
    REFUSED = "refused"
    """A definitive no in the answer itself: 422 ``payout_refused``, for ever for this key."""
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
    DARK = "dark"
    """From now on every ``/v1`` call answers 503, until ``DELETE /sandbox/moods``. By tag once per key."""
    SLOW = "slow"
    """Settles after ``--slow-seconds``."""
    RETURNED = "returned"
    """Paid, and ``--return-seconds`` later sent back by the receiving bank (MD06)."""
    WEBHOOK_DUPLICATE = "webhook_duplicate"
    """Every webhook is delivered three times, with one webhook-id."""
    WEBHOOK_NEVER = "webhook_never"
    """No webhook until ``POST /sandbox/webhooks/{key}/resend``."""
    WEBHOOK_BEFORE_RESPONSE = "webhook_before_response"
    """Settled, and its webhook answered, before the submit is answered with ``processing``."""
    WEBHOOK_OUT_OF_ORDER = "webhook_out_of_order"
    """``payout.processing`` follows a little after ``payout.paid``."""
    WEBHOOK_STALE = "webhook_stale"
    """Webhooks are rightly signed with a time one hour ago, and not repeated once answered."""
    WEBHOOK_FORGED = "webhook_forged"
    """Webhooks are signed with another secret, and not repeated once answered."""


BEFORE_ACCEPTING = frozenset({Mood.ERROR_500_BEFORE_ACCEPTING, Mood.NO_BALANCE, Mood.DARK})
"""Moods after which the bank has never heard of the payout."""

Moods = frozenset[Mood]


class UnknownMood(ValueError):
    """A word that names no mood."""


def parse_moods(words: Iterable[str]) -> Moods:
    """:raises UnknownMood: a misspelt mood must not pass for good weather."""
    try:
        return frozenset(Mood(word) for word in words)
    except ValueError:
        raise UnknownMood(f"moods are: {', '.join(Mood)}") from None


def header_moods(header: str) -> Moods:
    return parse_moods(word for word in header.replace(",", ".").replace(" ", "").split(".") if word)


def tagged_moods(pix_key: str) -> Moods:
    """Moods in an e-mail key's tag; a tag with any other word is an honest customer's own."""
    local, _, _ = pix_key.partition("@")
    _, _, tag = local.partition("+")
    try:
        return parse_moods(word for word in tag.split(".") if word)
    except UnknownMood:
        return frozenset()
