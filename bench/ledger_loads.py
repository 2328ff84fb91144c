"""The loads that are compared. Each runs against a fresh database, adds to its row, and checks the books after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from bench import ledger_pgbench as pgbench
from bench.ledger_books import Server, Template, Void, connected, seal, verify
from bench.ledger_clients import Crew, Job, Tally
from bench.ledger_hordak import COUNTS, Hordak
from bench.ledger_report import Row

Load = Callable[[Row, float], Awaitable[None]]
"""Seconds it may last."""

ROUND = "round"


class Loads:
    """``seal_seconds``: how long sealings took amid the load."""

    def __init__(self, server: Server, template: Template, crew: Crew, hordak: Hordak | None) -> None:
        self._server, self._template, self._crew, self._hordak = server, template, crew, hordak
        self.seal_seconds: list[float] = []

    def posting(self, *, batch: int = 1, hot: float = 0.0, replays: float = 0.0, is_sealing: bool = False) -> Load:
        """Our own door, from Python."""

        async def run(row: Row, seconds: float) -> None:
            async with self._server.copy(self._template, ROUND) as copy:
                if is_sealing:
                    await seal(copy.url)
                job = Job(copy.url, self._template.users, row.clients, seconds, batch, hot, replays)
                await asyncio.to_thread(self._crew.prepare, job, processes=row.processes)
                before = self._server.cpu_seconds()
                going = asyncio.create_task(asyncio.to_thread(self._crew.go))
                if is_sealing:
                    await asyncio.sleep(seconds / 2)
                    self.seal_seconds.append(await seal(copy.url))
                tallies = await going
                row.add(tallies, self._server.cpu_seconds() - before)
                await verify(copy, posted=_posted(tallies), among_users=not hot)

        return run

    def raw(self, script: str, *, batch: int = 1) -> Load:
        """The same rows by one statement, as the tables' owner."""

        async def run(row: Row, seconds: float) -> None:
            async with self._server.copy(self._template, ROUND) as copy:
                workload = pgbench.workload(script, self._template, batch=batch)
                tally = await self._pgbench(copy.owner_url, workload, row, seconds, transfers=batch)
                await verify(copy, posted=tally.posted, among_users=True, raw=True)

        return run

    def door(self, script: str, *, hot: bool = False) -> Load:
        """Our own door from pgbench: what the function costs without a Python client."""

        async def run(row: Row, seconds: float) -> None:
            async with self._server.copy(self._template, ROUND) as copy:
                tally = await self._pgbench(copy.url, pgbench.workload(script, self._template), row, seconds)
                await verify(copy, posted=tally.posted, among_users=not hot)

        return run

    async def tpcb(self, row: Row, seconds: float) -> None:
        """pgbench's own workload; the branch of scale 1 is one row that every transaction updates."""
        async with self._server.database(ROUND) as url:
            await asyncio.to_thread(pgbench.prepare_tpcb, url)
            await self._server.tidy(ROUND)
            await self._pgbench(url, pgbench.TPCB, row, seconds)

    def peer(self, *, hot: bool) -> Load:
        """django-hordak, with threads as clients."""

        async def run(row: Row, seconds: float) -> None:
            assert self._hordak is not None
            async with self._server.database(ROUND, template=self._hordak.template) as url, connected(url) as engine:
                driver = {"threads": row.clients, "seconds": seconds, "hot": hot, "processes": row.processes}
                await asyncio.to_thread(self._hordak.prepare, url, **driver)
                before = self._server.cpu_seconds()
                tallies = await asyncio.to_thread(self._hordak.go)
                row.add(tallies, self._server.cpu_seconds() - before)
                async with engine.connect() as conn:
                    there, left = (await conn.execute(COUNTS)).one()
            if left or there != _posted(tallies):
                raise Void(
                    f"django-hordak answered {_posted(tallies)} transfers and has {there}, which sum to {left}"
                )

        return run

    async def _pgbench(
        self, url: str, workload: Sequence[str], row: Row, seconds: float, *, transfers: int = 1
    ) -> Tally:
        before = self._server.cpu_seconds()
        tally = await asyncio.to_thread(
            pgbench.run, url, workload, clients=row.clients, seconds=seconds, transfers=transfers
        )
        row.add([tally], self._server.cpu_seconds() - before)
        return tally


def _posted(tallies: Sequence[Tally]) -> int:
    return sum(tally.posted for tally in tallies)
