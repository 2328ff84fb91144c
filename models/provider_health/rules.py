"""Which provider a new trade gets. A trade keeps the one it was accepted with, whatever happens to it."""

from collections.abc import Mapping

from models.provider_health.types import Failover, ProviderHealth


def choose(main: str, failover: Failover | None, known: Mapping[str, ProviderHealth]) -> str:
    """The main one, unless it is surely down and the other surely well.

    Not knowing is no reason to change: where nobody asks the providers, nobody pays either.
    """
    if failover is None:
        return main
    mine, other = known.get(main), known.get(failover.fallback)
    if mine is None or other is None:
        return main
    is_known = max(mine.checked_seconds, other.checked_seconds) <= failover.stale_after_seconds
    is_down = mine.failing_seconds is not None and mine.failing_seconds >= failover.down_after_seconds
    return failover.fallback if is_known and is_down and other.failing_seconds is None else main
