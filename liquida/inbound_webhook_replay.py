"""``liquida webhooks replay``: stored events go the way again that they went when they came.

For the day on which bells were lost, or rang for nobody: a restored Temporal, a fault of ours mended. Bodies were
verified before they were stored and are sealed to their rows, so they are read and not verified again. A bell says
"look" and no more; so ringing it once too often changes nothing.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from api.inbound_webhook import bells, plain
from liquida import database, wiring
from liquida.settings import Settings
from models.errors import Refused, SealBroken, WebhookRejected
from models.inbound_webhook.queries import Choice, Stored, stored
from models.outbox import MessageKind, put
from models.secret_box import SecretBox
from payments.protocol import PixProvider

PAGE = 200
WIDTH_WITHOUT_TERMINAL = 160
COLUMNS = ("when", "provider", "event", "key", "done")
NOBODY = "nobody waits for it"


class Replay:
    """:param dry: nothing is written."""

    def __init__(self, box: SecretBox, providers: Mapping[str, PixProvider], *, dry: bool) -> None:
        self._box = box
        self._providers = providers
        self._dry = dry
        self.unread = 0

    async def one(self, conn: AsyncConnection, event: Stored) -> str:
        """Dispatch it as the route did; what was done, in words."""
        provider = self._providers.get(event.provider)
        if provider is None:
            return self._not_read("its provider is not known")
        try:
            found = provider.read_webhook(event.body(self._box), event_id=event.event_id)
        except SealBroken:
            return self._not_read("its body does not open with this LIQUIDA_DATA_KEY")
        except WebhookRejected:
            return self._not_read("its body is not readable to us")
        same = [each for each in found if plain(each.event_id) == event.event_id]
        if not same:
            return self._not_read("its body does not say it any more")
        messages = [message for each in same for message in await bells(conn, event.provider, each)]
        if not self._dry:
            await put(conn, *messages)
        words = ("would ring", "would ask to start") if self._dry else ("rang", "asked to start")
        told = [f"{words[message.kind is MessageKind.START]} {message.workflow_id}" for message in messages]
        return "\n".join(told) or NOBODY

    def _not_read(self, why: str) -> str:
        self.unread += 1
        return f"not read: {why}"


async def replay(settings: Settings, choice: Choice, *, dry_run: bool) -> None:
    """Dispatch the chosen events again, in the order of their arrival, and print what was done. No bodies.

    The relay of the settlement worker delivers the bells. A START whose workflow ran before starts nothing.

    :param choice: its times are UTC if they say nothing.
    :raises Refused: an event could not be read; the others were dispatched.
    """
    box, by_name = wiring.secret_box(settings), wiring.webhook_readers(settings)
    engine = database.engine(settings.database_url, pool=1)
    table = Table(title="webhooks, replayed (dry run)" if dry_run else "webhooks, replayed", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    chosen = replace(choice, since=_utc(choice.since), until=_utc(choice.until))
    work, last = Replay(box, by_name, dry=dry_run), 0
    try:
        while True:
            async with engine.begin() as conn:
                page = await stored(conn, chosen, after_id=last, most=PAGE)
                for event in page:
                    cells = (_when(event.received_at), event.provider, event.event_id, event.key)
                    table.add_row(*map(escape, cells), escape(await work.one(conn, event)))
            if not page:
                break
            last = page[-1].id
    finally:
        for provider in by_name.values():
            await provider.close()
        await engine.dispose()
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_WITHOUT_TERMINAL)
    console.print(table)
    if work.unread:
        raise Refused(
            f"{work.unread} of {table.row_count} events could not be read again; the others were dispatched"
        )


def _utc(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant


def _when(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds")
