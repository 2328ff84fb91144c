"""``make crash-matrix``: docs/crash-matrix.md from the lines that ``test_crash_matrix.py`` recorded."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.chaos.steps import STEPS, Fault, Step

TARGET = Path(__file__).parents[2] / "docs" / "crash-matrix.md"
HEAD = """\
# Crash matrix

Made by `make crash-matrix`; do not edit. Each row is a line of the product at which a worker is stopped dead while
a trade is at it; each column is what is then killed with `kill -9` and started again. After every case all laws of the
books hold and ledger, chain and bank agree (`tests/chaos/test_crash_matrix.py`).

"""
SALES = """\
## Sales

A cell says how the trade ended, how many payouts the bank's own books show for it, how many custody transfers became
final on chain, and how long it took from the restart to the end. A deposit-funded trade needs no custody transfer.

"""
PURCHASES = """
## Purchases

A cell says how the trade ended, how many charges the bank made for it, how many deliveries became final on chain, how
many devoluções the bank sent, and how long it took from the restart to the end. In the rows of the devolução a stranger
paid first, and the user after that.

"""


def main(recorded: Path) -> None:
    """:raises SystemExit: a case is missing, so the table would claim what was not shown."""
    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    cells = {(line["step"], line["fault"]): line for line in lines}
    missing = [(step.name, fault.value) for step in STEPS for fault in Fault if (step.name, fault.value) not in cells]
    if missing:
        raise SystemExit(f"not recorded: {missing}")
    text = HEAD + SALES + _rows(cells, [step for step in STEPS if not step.is_purchase])
    text += PURCHASES + _rows(cells, [step for step in STEPS if step.is_purchase])
    payouts, deliveries = (sum(cell.get(name, 0) for cell in cells.values()) for name in ("payouts", "deliveries"))
    text += (
        f"\n{len(cells)} kills, {len(cells)} trades, {payouts} payouts, {deliveries} deliveries: none twice, none "
    )
    TARGET.write_text(text + "missing.\n")


def _rows(cells: dict[tuple[str, str], dict[str, Any]], steps: list[Step]) -> str:
    rows = [
        "| step | the moment | " + " | ".join(fault.value for fault in Fault) + " |",
        "|---|---|" + "---|" * len(Fault),
    ]
    for step in steps:
        found = [cells[step.name, fault.value] for fault in Fault]
        rows.append(f"| `{step.name}` | {step.why} | " + " | ".join(_cell(cell) for cell in found) + " |")
    return "\n".join(rows) + "\n"


def _cell(line: dict[str, Any]) -> str:
    names = {
        "payouts": "payout",
        "transfers": "transfer",
        "charges": "charge",
        "deliveries": "delivery",
        "refunds": "devolução",
    }
    counts = ", ".join(f"{line[name]} {word}" for name, word in names.items() if name in line)
    return f"{line['status']}, {counts}, {line['seconds']} s"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
