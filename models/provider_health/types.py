"""What is known of a provider's health, and what to do when the main one is down."""

from pydantic.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """``failing_seconds``: since it last answered; None while it does. ``checked_seconds``: since it was asked."""

    provider: str
    failing_seconds: float | None
    checked_seconds: float


@dataclass(frozen=True, slots=True)
class Failover:
    """``fallback``: takes new trades once the main provider has been failing for ``down_after_seconds``.

    Of a provider not asked for ``stale_after_seconds`` nothing is known.
    """

    fallback: str
    down_after_seconds: float
    stale_after_seconds: float
