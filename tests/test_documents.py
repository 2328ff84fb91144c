"""The documents say what the code says: paths, commands, settings, states, moods and tests that they name exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from api.metrics import Metrics
from api.stories import REVIEWS
from liquida import map as noun_map
from liquida.cli import app
from liquida.stack.postgres import RUNTIME_ROLE
from models.assets import NETWORKS
from models.errors import Broken
from models.instant_trade.states import NEXT, TradeStatus
from payments.sandbox.moods import Mood
from tests.chaos.steps import STEPS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?<![\w/<.-])([\w.-]+(?:/[\w.-]+)+/?)(?![\w/<*-])")
MAKE = re.compile(r"(?:^|\s)make ([a-z][a-z0-9-]*)")
LIQUIDA = re.compile(r"(?:^|[\s/])liquida ([a-z]+)(?: ([a-z][a-z-]*))?")
SETTING = re.compile(r"\bLIQUIDA_[A-Z0-9_]*[A-Z0-9]\b")
TEST = re.compile(r"\b(?:test_\w+|Test[A-Z]\w+)\b")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FIRST_CELL = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)

ROOMS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
READ_ELSEWHERE = {"LIQUIDA_PASSWORD": "liquida/cli.py"}
"""Variables that are no settings, and who reads them."""


def code_of(text: str) -> Iterator[str]:
    """What is set as code: blocks, then spans in the rest."""
    yield from BLOCK.findall(text)
    yield from SPAN.findall(BLOCK.sub("", text))


def section(text: str, heading: str) -> str:
    """The text under one heading, up to the next."""
    return text.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]


def anchors(text: str) -> set[str]:
    """The names that GitHub gives a document's headings."""
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in HEADING.findall(BLOCK.sub("", text)))
    return {heading.replace(" ", "-") for heading in plain}


@pytest.fixture(scope="session")
def readme() -> str:
    return (ROOT / "README.md").read_text()


@pytest.fixture(scope="session")
def test_names() -> set[str]:
    files = list((ROOT / "tests").rglob("*.py"))
    return {name for file in files for name in [*TEST.findall(file.read_text()), file.stem]}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
class TestDocument:
    def test_links_to_what_exists(self, document: Path) -> None:
        broken = []
        for link in LINK.findall(BLOCK.sub("", document.read_text())):
            if link.startswith("http"):
                continue
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                broken.append(link)

        assert [] == broken

    def test_names_files_that_exist(self, document: Path) -> None:
        named = {path for code in code_of(document.read_text()) for path in PATH.findall(code)}
        ours = {path for path in named if path.split("/")[0] in ROOMS}

        assert [] == sorted(path for path in ours if not (ROOT / path).exists())

    def test_names_make_targets_that_exist(self, document: Path) -> None:
        named = {target for code in code_of(document.read_text()) for target in MAKE.findall(code)}
        targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))

        assert [] == sorted(named - targets)

    def test_names_commands_that_exist(self, document: Path) -> None:
        groups = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        unknown = []
        for code in code_of(document.read_text()):
            for first, second in LIQUIDA.findall(code):
                inner = getattr(groups.get(first), "commands", None)
                if first not in groups or (inner is not None and second not in inner):
                    unknown.append(f"{first} {second}".strip())

        assert [] == unknown

    def test_names_settings_that_exist(self, document: Path) -> None:
        example = set(SETTING.findall((ROOT / ".env.example").read_text()))
        for variable, reader in READ_ELSEWHERE.items():
            assert variable in (ROOT / reader).read_text()

        assert [] == sorted(set(SETTING.findall(document.read_text())) - example - set(READ_ELSEWHERE))

    def test_names_tests_that_exist(self, document: Path, test_names: set[str]) -> None:
        assert [] == sorted(set(TEST.findall(document.read_text())) - test_names)


class TestReadme:
    def test_table_of_states_is_the_codes(self, readme: str) -> None:
        table = section(readme, "States of a trade")
        rows = {row[0]: row[2] for row in re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|$", table, re.MULTILINE)}

        assert list(TradeStatus) == list(rows)
        for status, following in rows.items():
            assert set(re.findall(r"`(\w+)`", following)) <= NEXT[TradeStatus(status)], status

    def test_table_of_moods_is_the_banks(self, readme: str) -> None:
        assert list(Mood) == FIRST_CELL.findall(section(readme, "The sandbox bank"))

    def test_counts_the_lines_of_the_crash_matrix(self, readme: str) -> None:
        assert f": {len(STEPS)} lines, each" in readme


class TestRunbook:
    def test_has_words_for_every_reason_of_a_review(self) -> None:
        headings = HEADING.findall((ROOT / "docs/runbook.md").read_text())

        assert [] == sorted(set(REVIEWS) - set(headings))

    def test_has_words_for_every_law_that_can_break(self) -> None:
        table = section((ROOT / "docs/runbook.md").read_text(), "A law is broken")
        ours = {kind.type for kind in [Broken, *Broken.__subclasses__()] if kind.__module__ == "models.errors"}

        assert ours == set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))

    def test_names_metrics_that_exist(self) -> None:
        named = set(re.findall(r"`(liquida_\w+)", (ROOT / "docs/runbook.md").read_text()))
        offered = {name for metric in Metrics()._registry.collect() for name in (metric.name, f"{metric.name}_total")}

        assert [] == sorted(named - offered - {RUNTIME_ROLE})

    def test_has_words_for_every_event_that_asks_for_a_person(self) -> None:
        asked = set()
        for room in ("activities", "api", "chains", "liquida", "models", "payments", "workflows"):
            for file in (ROOT / room).rglob("*.py"):
                asked |= set(re.findall(r"log(?:ger)?\.(?:error|exception)\(\s*\"([\w.]+)\"", file.read_text()))
        alerts = section((ROOT / "docs/runbook.md").read_text(), "Alerts")

        assert [] == sorted(event for event in asked if f"`{event}`" not in alerts)


class TestNetworks:
    def test_are_the_catalogues_and_those_to_come(self) -> None:
        text = (ROOT / "docs/networks.md").read_text()
        planned = re.findall(
            r"^\| [^`|]+ \| (?:`(\w+)`)? ?\| [\w ]+ \| (.+) \|$", section(text, "Networks"), re.MULTILINE
        )

        assert 15 == len(planned)
        assert set(NETWORKS) == {name for name, _ in planned if name}
        assert all((state == "not written") == (not name) for name, state in planned)

    def test_have_the_catalogues_figures(self) -> None:
        text = (ROOT / "docs/networks.md").read_text()
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| `([\w.]+)` \|$", text, re.MULTILINE)

        assert {n.id: (n.chain_id, n.confirmations, n.native_asset) for n in NETWORKS.values()} == {
            name: (int(chain_id), int(confirmations), asset) for name, chain_id, confirmations, asset in rows
        }


class TestDecisions:
    @pytest.mark.parametrize("file", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda file: file.stem)
    def test_have_the_one_form(self, file: Path) -> None:
        text = file.read_text()

        assert re.match(r"# \d{3} .+\n\nStatus: \w+ \d{4}-\d\d-\d\d · Touches: .+ · Supersedes: .+\n", text)
        assert file.stem[:3] == text[2:5]
        for part in ("Context", "Options", "Decision", "Costs", "Checked by"):
            assert f"**{part}.**" in text


class TestMap:
    def test_is_up_to_date(self) -> None:
        assert noun_map.draw(ROOT) == (ROOT / noun_map.MAP).read_text(), "run: make map"

    def test_has_files_for_every_noun_of_the_glossary(self) -> None:
        found = noun_map.by_noun(noun_map.nouns((ROOT / noun_map.GLOSSARY).read_text()), noun_map.files(ROOT))

        assert [] == noun_map.missing(found)

    def test_knows_every_noun_that_has_a_folder(self) -> None:
        known = set(noun_map.nouns((ROOT / noun_map.GLOSSARY).read_text()))

        assert set() == {path.parent.name for path in (ROOT / "models").glob("*/__init__.py")} - known

    def test_gives_a_file_to_the_longer_noun(self) -> None:
        places = [Path("workflows/payout.py"), Path("workflows/payout_return.py"), Path("models/payout/states.py")]

        assert {
            "payout": [Path("models/payout"), Path("workflows/payout.py")],
            "payout_return": [Path("workflows/payout_return.py")],
        } == {noun: sorted(found) for noun, found in noun_map.by_noun(["payout", "payout_return"], places).items()}
