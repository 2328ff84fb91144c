"""``liquida up``: the whole system on one machine from packages alone, started in order, stopped in reverse."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol, Self

from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chains.keys.sealed_file import SealedFile
from liquida.settings import Settings
from liquida.stack import evm_node, services
from liquida.stack.environment import environment
from liquida.stack.evm_node import EvmNode
from liquida.stack.lock import only_one
from liquida.stack.postgres import Postgres
from liquida.stack.process import Process, stop_leftovers
from liquida.stack.temporal import Temporal
from models.errors import StackUnavailable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Part(Protocol):
    """What the stack needs of each of its programs."""

    name: str
    process: Process

    @property
    def address(self) -> str: ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


MakePart = Callable[[Settings, Mapping[str, str]], Part]


class Stack:
    """The embedded stack, as an async context manager or by :meth:`start` and :meth:`stop`.

    :param settings: ports, state directory, and what was chosen on purpose.
    :param extra: further variables for our own programs, such as ``LIQUIDA_SECONDS_QUOTE_VALID``.
    :param console: takes one line per part; None: silent.
    :param ours: which of our own programs to start, in this order, after the engines.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        extra: Mapping[str, str] | None = None,
        console: Console | None = None,
        ours: Sequence[MakePart] = (services.sandbox, services.worker, services.api),
    ) -> None:
        self.settings = settings
        self.parts: list[Part] = []
        self.environment: dict[str, str] = {}
        self._ours = ours
        self._extra = dict(extra or {})
        self._console = console or Console(quiet=True)
        self._held = ExitStack()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start every part; on failure those already started are stopped again.

        :raises StackUnavailable: another stack runs in this directory, or a part does not come up.
        """
        try:
            self._held.enter_context(only_one(self.settings.state_dir.absolute()))
            await stop_leftovers(self.settings.state_dir.absolute())
            self.environment = environment(self.settings) | self._extra
            await self._start_engines()
            await self._step("Database schema", "latest revision", self._migrate)
            await self._step("Wallet", self.environment["LIQUIDA_WALLET_FILE"], self._make_wallet)
            for make in self._ours:
                await self._start(make(self.settings, self.environment))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop what runs, last started first. Harmless to repeat."""
        while self.parts:
            part = self.parts[-1]
            await part.stop()
            self.parts.pop()
            self._console.print(f"  [dim]stopped[/] {part.name}")
        self._held.close()

    async def death(self) -> StackUnavailable:
        """Wait until a part ends by itself; the sentence that says which."""
        watched = {asyncio.ensure_future(part.process.ended()): part for part in self.parts}
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watch in watched:
                watch.cancel()
        first = next(iter(done))
        process = watched[first].process
        return StackUnavailable(
            f"{watched[first].name} ended by itself (exit code {first.result()}); its last words: "
            f"{process.last_words() or 'none'}; read {process.log}"
        )

    def addresses(self) -> Table:
        """Where everything is, for a person."""
        table = Table(title="Liquida is up", title_justify="left")
        table.add_column("part")
        table.add_column("address", overflow="fold")
        for part in reversed(self.parts):
            table.add_row(part.name, escape(part.address))
        table.add_row("Temporal UI", self.environment["LIQUIDA_TEMPORAL_UI_URL"])
        table.add_row("Logs", escape(_short(self.settings.state_dir.absolute() / "logs")))
        return table

    async def _start_engines(self) -> None:
        settings = self.settings
        state_dir = settings.state_dir.absolute()
        await self._start(Postgres(state_dir, port=settings.postgres_port))
        await self._start(
            Temporal(
                state_dir,
                port=settings.temporal_port,
                ui_port=settings.temporal_ui_port,
                namespace=settings.temporal_namespace,
            )
        )
        program = await evm_node.install(state_dir, configured=settings.anvil, say=self._say)
        await self._start(
            EvmNode(state_dir, program=program, port=settings.evm_port, block_seconds=settings.evm_block_seconds)
        )

    async def _start(self, part: Part) -> None:
        self.parts.append(part)
        await self._step(part.name, part.address, part.start)

    async def _step(self, name: str, outcome: str, action: Callable[[], Awaitable[None]]) -> None:
        started = time.monotonic()
        with self._console.status(f"{name} ..."):
            await action()
        taken = time.monotonic() - started
        self._console.print(f"  [green]ok[/] {name:<16} {taken:5.1f} s  {escape(outcome)}", highlight=False)

    async def _migrate(self) -> None:
        await services.migrate(self.settings, self.environment)

    async def _make_wallet(self) -> None:
        """A development wallet; its words are not shown, the sealed file and its passphrase are all there is."""
        file = Path(self.environment["LIQUIDA_WALLET_FILE"])
        passphrase = SecretStr(self.environment["LIQUIDA_WALLET_PASSPHRASE"])
        await asyncio.to_thread(_make_wallet_once, file, passphrase)

    def _say(self, line: str) -> None:
        self._console.print(f"     {escape(line)}", highlight=False)


async def up(settings: Settings, *, console: Console | None = None) -> None:
    """Run the stack until Ctrl-C, SIGTERM or SIGHUP, then stop it in reverse order.

    :raises StackUnavailable: a part did not start, or ended by itself.
    """
    console = console or Console()
    stack = Stack(settings, console=console)
    running = asyncio.ensure_future(_run(stack, console))
    loop = asyncio.get_running_loop()
    for name in SIGNALS:
        loop.add_signal_handler(name, running.cancel)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        if not running.done():
            raise
    finally:
        running.cancel()
        await asyncio.wait([running])
        await stack.stop()
        for name in SIGNALS:
            loop.remove_signal_handler(name)


async def _run(stack: Stack, console: Console) -> None:
    await stack.start()
    console.print(stack.addresses())
    console.print("Ctrl-C stops all parts; their state stays and the next start goes on from it.")
    raise await stack.death()


def _make_wallet_once(file: Path, passphrase: SecretStr) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        SealedFile(file, passphrase).create()


def _short(path: Path) -> str:
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
