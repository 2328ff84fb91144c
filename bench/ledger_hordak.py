"""django-hordak, a published double-entry ledger on PostgreSQL, on the same server, in an environment of its own.

It keeps no balance and checks none, so it has no hot row; what it shows is the price of a ledger in an ORM.
"""

import asyncio
import json
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text

from bench.ledger_books import Server
from bench.ledger_clients import Tally
from liquida.stack.postgres import as_owner, create_database

PACKAGES = ["django-hordak==2.0.0", "psycopg[binary]"]
DRIVER = Path(__file__).parent / "hordak_peer" / "drive.py"
ACCOUNTS = 200
COUNTS = text("""
    SELECT (SELECT count(*) FROM hordak_transaction),
           (SELECT coalesce(sum(coalesce(debit, 0) - coalesce(credit, 0)), 0) FROM hordak_leg)
""")


class NotInstalled(Exception):
    """The package index did not give it: the row is left out."""


class Hordak:
    """The peer's own Python, and its clients as processes with threads."""

    template = "hordak_settled"

    def __init__(self, directory: Path) -> None:
        self._home = directory / "hordak"
        self._python = self._home / "bin" / "python"
        self._drivers: list[subprocess.Popen[str]] = []

    def install(self) -> None:
        """:raises NotInstalled: pip could not."""
        venv.create(self._home, with_pip=False)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self._python,
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        done = subprocess.run([*pip, *PACKAGES], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotInstalled(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed")

    async def settle(self, server: Server) -> None:
        """Its tables and accounts, in a database to copy."""
        url = as_owner(await create_database(server.postgres.admin_url, self.template))
        settling = self._started(url, "settle", str(ACCOUNTS))
        await asyncio.to_thread(settling.communicate)
        if settling.returncode != 0:
            raise RuntimeError("django-hordak's tables could not be made")
        await server.tidy(self.template)

    def prepare(self, url: str, *, threads: int, seconds: float, hot: bool, processes: int) -> None:
        """Start, connect and warm up. Blocks, as :meth:`go` does: call them in a thread."""
        words = ["drive", str(threads // processes), str(seconds), "hot" if hot else "uniform"]
        self._drivers = [self._started(url, *words) for _ in range(processes)]
        for driver in self._drivers:
            self._line(driver)

    def go(self) -> list[Tally]:
        """Post. One tally per process."""
        for driver in self._drivers:
            assert driver.stdin is not None
            driver.stdin.write("go\n")
            driver.stdin.flush()
        answers = [json.loads(self._line(driver)) for driver in self._drivers]
        for driver in self._drivers:
            driver.communicate()
        return [Tally(**{**answer, "failures": Counter(answer["failures"])}) for answer in answers]

    def _started(self, url: str, *words: str) -> "subprocess.Popen[str]":
        where = urlsplit(url)
        address = [str(where.hostname), str(where.port), str(where.username), where.path.removeprefix("/")]
        command = [self._python, DRIVER, *address, *words]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @staticmethod
    def _line(driver: "subprocess.Popen[str]") -> str:
        assert driver.stdout is not None
        if not (line := driver.stdout.readline()):
            raise RuntimeError("django-hordak's client ended early")
        return line
