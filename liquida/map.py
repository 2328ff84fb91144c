"""``liquida map``: from each noun of the glossary to the files that speak of it, over all the rooms.

A noun has one spelling in every room, so its files are found by their names; ``docs/map.md`` is never written by
hand, and a test compares it with the tree.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
GLOSSARY = Path("docs/glossary.md")
MAP = Path("docs/map.md")

ROOMS = {
    "api": "the HTTP door",
    "workflows": "what happens, in which order",
    "activities": "each effect on the world",
    "chains": "the networks",
    "payments": "the fiat rail",
    "models": "types, states, rules, tables",
    "liquida": "the program",
    "bench": "against baselines",
    "tests": "mirrors the rooms",
}

_NOUN = re.compile(r"^\| `([a-z0-9_]+)` \|", re.MULTILINE)
_HEAD = """\
# Map

Which files speak of which noun. Generated from [the glossary](glossary.md) and the tree by `make map`; not edited.
"""


def nouns(glossary: str) -> list[str]:
    """The nouns that have files: the first column of the glossary's tables, where it is spelled as in the code."""
    return _NOUN.findall(glossary)


def files(root: Path) -> list[Path]:
    """The sources and recorded histories of every room, relative to ``root``, in a fixed order."""
    found = (path.relative_to(root) for room in ROOMS for path in (root / room).rglob("*"))
    kept = (path for path in found if path.suffix in {".py", ".json"} and path.stem != "__init__")
    return sorted(path for path in kept if "__pycache__" not in path.parts)


def by_noun(names: Iterable[str], paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Each noun's places. A folder named after a noun is one place; of two nouns that fit a file, the longer wins."""
    ordered = sorted(names, key=len, reverse=True)
    found: dict[str, list[Path]] = {name: [] for name in sorted(ordered)}
    for path in paths:
        for place, word in _words(path):
            noun = next((name for name in ordered if _fits(name, word)), None)
            if noun is not None:
                if not {place, *place.parents} & set(found[noun]):
                    found[noun].append(place)
                break
    return found


def draw(root: Path = ROOT) -> str:
    """The whole of ``docs/map.md``."""
    found = by_noun(nouns((root / GLOSSARY).read_text()), files(root))
    return "\n".join([_HEAD, *(_section(noun, places, root) for noun, places in found.items())])


def write(root: Path = ROOT) -> Path:
    """Write ``docs/map.md`` anew. Where it is."""
    (root / MAP).write_text(draw(root))
    return root / MAP


def _words(path: Path) -> Iterator[tuple[Path, str]]:
    """The names by which a path may be found: its own, then its folders from the inside out."""
    yield path, path.stem.rpartition("--")[2].removeprefix("test_").replace("-", "_")
    for folder in path.parents[:-1]:
        yield folder, folder.name


def _fits(noun: str, word: str) -> bool:
    return word in {noun, f"{noun}s"} or word.startswith(f"{noun}_")


def _section(noun: str, places: Iterable[Path], root: Path) -> str:
    rooms: dict[str, list[Path]] = {}
    for place in places:
        rooms.setdefault(place.parts[0], []).append(place)
    lines = [f"- {room}: {', '.join(_links(rooms[room], root))}" for room in ROOMS if room in rooms]
    return "\n".join([f"## {noun}", "", *lines, ""])


def _links(places: Iterable[Path], root: Path) -> Iterator[str]:
    for place in places:
        text = f"{place}/" if (root / place).is_dir() else str(place)
        yield f"[{text}](../{place})"


def missing(found: Mapping[str, list[Path]]) -> list[str]:
    """Nouns of which no file speaks: words that the glossary should drop, or spell as the code does."""
    return [noun for noun, places in found.items() if not places]
