"""Wait for a word, but never for ever: signals say "look", and a slower and slower timer says it as well."""

from datetime import timedelta

from temporalio import workflow


class Bell:
    """Rings when a fact may have changed. One ring is kept, so none is lost between two waits."""

    def __init__(self) -> None:
        self._rung = False

    def ring(self) -> None:
        self._rung = True

    async def wait(self, most: timedelta) -> bool:
        """Until rung, or for at most ``most``. False: it was only the time."""
        try:
            await workflow.wait_condition(lambda: self._rung, timeout=most)
        except TimeoutError:
            return False
        self._rung = False
        return True


class Patience:
    """The pause before the next look of one's own: doubled each time nothing happened."""

    def __init__(self, first_seconds: float, most_seconds: float) -> None:
        self._first, self._most = first_seconds, most_seconds
        self._next = first_seconds

    def pause(self, until_seconds: float | None = None) -> timedelta:
        """The pause, cut short where a lock runs out before."""
        seconds = self._next if until_seconds is None else min(self._next, max(0.0, until_seconds) + 0.001)
        self._next = min(self._next * 2, self._most)
        return timedelta(seconds=seconds)

    def reset(self) -> None:
        self._next = self._first
