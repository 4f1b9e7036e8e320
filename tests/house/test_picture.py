"""What the pages on the house show is what is there: the picture, the names, the links."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


@pytest.fixture(scope="module")
def house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_house", ROOT / "docs" / "make_house.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_module_is_in_one_room(house: ModuleType) -> None:
    held = [module for room in house.ROOMS.values() for module in room]
    assert sorted(held) == sorted(house.modules())


def test_the_picture_is_the_one_that_the_imports_give(house: ModuleType) -> None:
    assert house.PICTURE.read_text(encoding="utf-8") == house.svg(), "run: python docs/make_house.py"


def test_arrows_are_those_that_no_others_imply(house: ModuleType) -> None:
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert house.reduced(graph) == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert house.floors(graph) == {"d": 0, "c": 1, "b": 2, "a": 3}
    with pytest.raises(ValueError, match="a -> b -> a"):
        house.floors({"a": {"b"}, "b": {"a"}})


def test_imports_are_found_wherever_they_stand(house: ModuleType) -> None:
    source = "from langchain_memllm import hub\ndef f():\n    from langchain_memllm.stores.sqlite import Database\n"
    assert house.imports_of(source + "import langchain_memllm.errors\nimport json\n") == {"hub", "stores", "errors"}


NAMES = re.findall(r"`([a-z_]+(?:\.\w+)+)`", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_what_the_walks_name_exists(name: str) -> None:
    parts = name.split(".")
    found: object = None
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(("langchain_memllm", *parts[:count])))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        break
    assert found is not None


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", *PAGES])
def test_links_lead_to_what_is_there(name: str) -> None:
    page = ROOT / name
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    found, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        for target, _ in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
            path = ((ROOT / name).parent / target).resolve()
            if target.endswith(".md") and path.is_relative_to(ROOT):
                linked = path.relative_to(ROOT).as_posix()
                waiting += [linked] if linked not in found else []
    assert set(PAGES) <= found


def test_the_glossary_is_short() -> None:
    _, _, glossary = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Glossary")
    rows = [line for line in glossary.splitlines() if line.startswith("| ")][2:]
    assert 10 <= len(rows) <= 25


PRIVATE = re.compile(r"\((?:papers|redteam|bugs|frictions?|design)\b[ ,§][^)]*\)|\bresearch/|\bdesign\.md")


@pytest.mark.parametrize("folder", ["langchain_memllm", "docs", "graph_schema"])
def test_nothing_refers_to_what_a_reader_cannot_open(folder: str) -> None:
    files = [path for end in ("py", "md", "cypher") for path in (ROOT / folder).rglob(f"*.{end}")]
    found = [f"{path.name}: {match[0]}" for path in files for match in PRIVATE.finditer(path.read_text("utf-8"))]
    assert files and found == []
