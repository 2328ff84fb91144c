"""A desk whose workers are processes of their own, to halt, kill and start again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from liquida.settings import Settings
from tests.chaos.nursery import Nursery, Worker
from tests.chaos.steps import Fault, Step
from tests.desk import FAST, Desk, open_desk


class World:
    def __init__(self, desk: Desk, directory: Path, nursery: Nursery) -> None:
        self.desk = desk
        self._directory = directory
        self._nursery = nursery
        self._worker: Worker | None = None
        self._halts = 0

    async def work(self, halt_at: str = "") -> Path:
        """Start a worker, which halts at a line if one is named; the folder where it says so."""
        await self.rest()
        self._halts += 1
        halt_dir = self._directory / f"halt-{self._halts}"
        halt_dir.mkdir()
        given = environment(self.desk.settings) | {"HALT_AT": halt_at, "HALT_DIR": str(halt_dir)}
        self._worker = self._nursery.worker(given, self._directory / "worker.log")
        return halt_dir

    async def rest(self) -> None:
        """No worker at all."""
        if self._worker is not None:
            await asyncio.to_thread(self._worker.stop)
            self._worker = None

    async def reached(self, halt_dir: Path, *, seconds: float = 60) -> None:
        async def says_so() -> bool:
            assert self._worker is not None
            assert self._worker.is_running, self._worker.last_words()
            return (halt_dir / "reached").exists()

        await self.desk.eventually(says_so, "the worker to reach its line", seconds=seconds)

    async def strike(self, fault: Fault, halt_dir: Path) -> None:
        """Do it while the worker stands still at its line, then let everything come up again."""
        if fault is Fault.WORKER:
            assert self._worker is not None
            self._worker.kill()
            await self.work()
            return
        part = self.desk.temporal if fault is Fault.TEMPORAL else self.desk.postgres
        part.process.kill()
        await asyncio.sleep(0.3)
        await part.start()
        (halt_dir / "go").touch()


def environment(settings: Settings) -> dict[str, str]:
    """The settings of the desk, for a process of its own."""
    from liquida.stack.environment import _text

    chosen = {name: _text(getattr(settings, name)) for name in settings.model_fields_set}
    durations = {f"LIQUIDA_SECONDS_{name}": value for name, value in FAST.items()}
    return {f"LIQUIDA_{name.upper()}": value for name, value in chosen.items()} | durations


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    with Nursery() as nursery:
        async with open_desk(directory, durable=True, working=False) as desk:
            world = World(desk, directory, nursery)
            try:
                await world.work()
                await desk.eventually(lambda: addresses_ready(desk), "custody to derive addresses", seconds=60)
                await desk.open()
                yield world
            finally:
                await world.rest()


async def addresses_ready(desk: Desk) -> bool:
    from models.wallet import allocate

    async with desk.engine.connect() as conn:
        return await allocate.count_free(conn, "ethereum") > 0


__all__ = ["Step", "World", "open_world"]
