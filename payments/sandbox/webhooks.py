"""Delivers the bank's letters to the platform in Standard Webhooks form, again and again until answered.

Source: standard-webhooks/spec/standard-webhooks.md.
"""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta

import httpx
from standardwebhooks import Webhook

from payments.sandbox.letters import Letter, Letters
from payments.sandbox.moods import Mood

LETTERS_AT_ONCE = 32
TICK_SECONDS = 0.02
ANSWER_SECONDS = 10
RETRY_FIRST_SECONDS = 0.2
RETRY_MOST_SECONDS = 30
STALE = timedelta(hours=1)


class Courier:
    """Carries letters out of the books. Holds nothing that a killed process would lose."""

    def __init__(self, letters: Letters, *, url: str, secret: str) -> None:
        self._letters = letters
        self._url = url
        self._webhook = Webhook(secret)
        self._out: set[str] = set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with (
            httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            while True:
                for letter in self._letters.due(time.time(), LETTERS_AT_ONCE):
                    if letter.id not in self._out:
                        self._out.add(letter.id)
                        tasks.create_task(self._deliver(client, letter))
                await asyncio.sleep(TICK_SECONDS)

    async def _deliver(self, client: httpx.AsyncClient, letter: Letter) -> None:
        try:
            answer = await client.post(self._url, content=letter.body, headers=self._headers(letter))
        except httpx.HTTPError:
            self._retry(letter)
        else:
            if answer.is_success or letter.fault:
                self._letters.answered(letter, was_last=letter.copies == 1 or letter.fault is not None)
            else:
                self._retry(letter)
        finally:
            self._out.discard(letter.id)

    def _retry(self, letter: Letter) -> None:
        delay = min(RETRY_MOST_SECONDS, RETRY_FIRST_SECONDS * 2 ** min(letter.attempts, 16))
        self._letters.failed(letter, retry_at=time.time() + delay)

    def _headers(self, letter: Letter) -> dict[str, str]:
        sent_at = datetime.now(UTC) - (STALE if letter.fault == Mood.WEBHOOK_STALE else timedelta())
        forged = letter.fault == Mood.WEBHOOK_FORGED
        webhook = Webhook(secrets.token_bytes(32)) if forged else self._webhook
        return {
            "content-type": "application/json",
            "webhook-id": letter.id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": webhook.sign(letter.id, sent_at, letter.body),
        }
