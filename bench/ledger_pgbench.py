"""pgbench, from the same wheel as the server: what raw SQL reaches, and the neutral peer with one hot row."""

import re
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from bench.ledger_books import Template
from bench.ledger_clients import Tally
from liquida.stack.postgres import programs

SCRIPTS = Path(__file__).parent / "sql"
TPCB = ["-b", "tpcb-like"]
THREADS = 2
LOGGED = 0.2
"""The share of calls whose latency is written down: writing costs too."""

_PROCESSED = re.compile(r"transactions actually processed: (\d+)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_RATE = re.compile(r"tps = ([\d.]+) ")


def run(url: str, work: Sequence[str], *, clients: int, seconds: float, transfers: int = 1) -> Tally:
    """Blocks: call it in a thread.

    :param work: pgbench's options that say what to do.
    :param transfers: per call.
    """
    with TemporaryDirectory() as logs:
        before = _children_seconds()
        options = [
            "-n",
            "-M",
            "prepared",
            "-c",
            str(clients),
            "-j",
            str(min(THREADS, clients)),
            "-T",
            str(max(round(seconds), 1)),
        ]
        options += ["--max-tries=10", "-l", f"--sampling-rate={LOGGED}", *work]
        report = _pgbench(url, options, logs)
        cpu = _children_seconds() - before
        latencies = [
            int(line.split()[2])
            for log in Path(logs).iterdir()
            for line in log.read_text().splitlines()
            if line.split()[2].isdigit()
        ]
    calls, failed, rate = (
        found.group(1) if (found := part.search(report)) else "0" for part in (_PROCESSED, _FAILED, _RATE)
    )
    done = int(calls) * transfers
    tally = Tally(done=done, posted=done, cpu_seconds=cpu, latencies=latencies)
    tally.seconds = int(calls) / float(rate)
    if int(failed):
        tally.failures["pgbench"] = int(failed)
    return tally


def workload(script: str, template: Template, *, batch: int = 1) -> list[str]:
    """A workload of ours: the users' account ids, and the transfers per call."""
    variables = {"first": template.first, "accounts": template.users, "batch": batch}
    settings = [word for name, value in variables.items() for word in ("-D", f"{name}={value}")]
    return [*settings, "-f", str(SCRIPTS / f"{script}.sql")]


def prepare_tpcb(url: str) -> None:
    """TPC-B's tables at scale 1: one branch, whose row every transaction updates."""
    _pgbench(url, ["-i", "-s", "1", "-q"], "/")


def _pgbench(url: str, options: Sequence[str], directory: str) -> str:
    where = urlsplit(url)
    address = ["-h", str(where.hostname), "-p", str(where.port), "-U", str(where.username)]
    command = [programs() / "pgbench", *address, *options, where.path.removeprefix("/")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    if done.returncode != 0:
        raise RuntimeError(f"pgbench failed: {done.stderr.strip()}")
    return done.stdout


def _children_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
