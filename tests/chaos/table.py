"""``make crash-matrix``: docs/crash-matrix.md from the lines that ``test_crash_matrix.py`` recorded."""

import json
import sys
from pathlib import Path

from tests.chaos.steps import STEPS, Fault

TARGET = Path(__file__).parents[2] / "docs" / "crash-matrix.md"
HEAD = """\
# Crash matrix

Made by `make crash-matrix`; do not edit. Each row is a line of the product at which a worker is stopped dead while
a trade is at it; each column is what is then killed with `kill -9` and started again. A cell says how the trade
ended, how many payouts the bank's own books show for it, how many custody transfers became final on chain, and how
long it took from the restart to the end. After every case all laws of the books hold and ledger, chain and bank agree
(`tests/chaos/test_crash_matrix.py`). A deposit-funded trade needs no custody transfer.

"""


def main(recorded: Path) -> None:
    """:raises SystemExit: a case is missing, so the table would claim what was not shown."""
    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    cells = {(line["step"], line["fault"]): line for line in lines}
    missing = [(step.name, fault.value) for step in STEPS for fault in Fault if (step.name, fault.value) not in cells]
    if missing:
        raise SystemExit(f"not recorded: {missing}")
    rows = [
        "| step | the moment | " + " | ".join(fault.value for fault in Fault) + " |",
        "|---|---|" + "---|" * len(Fault),
    ]
    for step in STEPS:
        found = [cells[step.name, fault.value] for fault in Fault]
        rows.append(f"| `{step.name}` | {step.why} | " + " | ".join(_cell(cell) for cell in found) + " |")
    payouts = sum(cell["payouts"] for cell in cells.values())
    foot = f"\n{len(cells)} kills, {len(cells)} trades, {payouts} payouts: none twice, none missing.\n"
    TARGET.write_text(HEAD + "\n".join(rows) + "\n" + foot)


def _cell(line: dict) -> str:
    return f"{line['status']}, {line['payouts']} payout, {line['transfers']} transfer, {line['seconds']} s"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
