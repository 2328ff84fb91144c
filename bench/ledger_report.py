"""What was measured, as one table and as the figures of ``RESULT``."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.ledger_clients import Tally

FOOTER = """\
Rates are medians over the rounds, in transfers per second; p50 and p99 are of a call, over all rounds; client and
server are CPU microseconds per transfer. Clients and server share this machine's cores; every commit is on disk.
Raw SQL checks nothing, keeps no key apart from the index's, and its clients are C; ours are Python.
In-memory batch engines such as TigerBeetle are 10 to 100 times faster in large batches."""

COLUMNS = ("clients", "processes", "per_second", "low", "high", "p50_ms", "p99_ms", "client_us", "server_us")
HEAD = f"{'':28} " + " ".join(f"{column.replace('_', ' '):>10}" for column in COLUMNS)


@dataclass
class Row:
    """One line of the table: all rounds of one load."""

    name: str
    clients: int
    processes: int
    rates: list[float] = field(default_factory=list)
    latencies: list[int] = field(default_factory=list)
    done: int = 0
    client_seconds: float = 0.0
    server_seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, tallies: Sequence[Tally], server_seconds: float) -> None:
        self.rates.append(sum(tally.per_second for tally in tallies))
        self.server_seconds += server_seconds
        for tally in tallies:
            self.latencies += tally.latencies
            self.done += tally.done
            self.client_seconds += tally.cpu_seconds
            self.failures += tally.failures

    @property
    def per_second(self) -> float:
        return statistics.median(self.rates)

    def latency_ms(self, percent: int) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] / 1_000

    def figures(self) -> dict[str, object]:
        return {
            "name": self.name,
            "clients": self.clients,
            "processes": self.processes,
            "per_second": round(self.per_second),
            "low": round(min(self.rates)),
            "high": round(max(self.rates)),
            "p50_ms": round(self.latency_ms(50), 2),
            "p99_ms": round(self.latency_ms(99), 2),
            "client_us": round(1e6 * self.client_seconds / max(self.done, 1)),
            "server_us": round(1e6 * self.server_seconds / max(self.done, 1)),
        }

    def line(self) -> str:
        figures = self.figures()
        return f"{self.name:28} " + " ".join(f"{figures[column]!s:>10}" for column in COLUMNS)


@dataclass(frozen=True)
class Ratio:
    """``aim``: the least value that is good, or the most where ``is_most``; None: only to be shown.

    ``words``: the other way to meet the aim; ``is_excused``: it is met that way.
    """

    name: str
    value: float
    aim: float | None = None
    is_most: bool = False
    words: str = ""
    is_excused: bool = False

    @property
    def is_met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.is_excused or (self.value <= self.aim if self.is_most else self.value >= self.aim)

    def figures(self) -> dict[str, object]:
        aim = None if self.aim is None else f"{'<=' if self.is_most else '>='} {self.aim:g}{self.words}"
        return {"value": round(self.value, 3), "aim": aim, "is_met": self.is_met}

    def line(self) -> str:
        verdict = {True: "met", False: "missed", None: ""}[self.is_met]
        digits = 0 if self.value >= 100 else 2
        return f"{self.name:28} {self.value:>10.{digits}f}  {verdict:7} {self.figures()['aim'] or ''}"


class Table:
    """All rows, by name and clients."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], Row] = {}

    def row(self, name: str, clients: int, processes: int) -> Row:
        return self._rows.setdefault((name, clients), Row(name, clients, processes))

    def has(self, name: str, clients: int) -> bool:
        return (name, clients) in self._rows

    def rate(self, name: str, clients: int) -> float:
        return self._rows[name, clients].per_second

    def p99(self, name: str, clients: int) -> float:
        return self._rows[name, clients].latency_ms(99)

    def figures(self) -> list[dict[str, object]]:
        return [row.figures() for row in self._rows.values()]

    def failures(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for row in self._rows.values():
            found += row.failures
        return dict(found)

    def show(self) -> None:
        print("\n" + HEAD)
        for row in self._rows.values():
            print(row.line())


def show_ratios(ratios: Sequence[Ratio]) -> None:
    print(f"\n{'':28} {'value':>10}  {'':7} aim")
    for ratio in ratios:
        print(ratio.line())
    print("\n" + FOOTER)
