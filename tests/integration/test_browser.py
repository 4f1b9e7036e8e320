"""Neo4j Browser shows the memory: the served guide is opened in Chromium and every query of it is clicked.

``MEMLLM_UPDATE_PICTURE=1`` writes ``docs/browser.png`` anew. Otherwise the picture in the README is compared with the
page by its colours, which say what is drawn; pixels differ with fonts and drivers.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import struct
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from neo4j import Driver, Record
from neo4j.graph import Path as GraphPath
from playwright.sync_api import Locator, Page, expect, sync_playwright

from langchain_memllm import MemLLMMemory, Source, Statement
from langchain_memllm.relations import Catalogue, Relation
from langchain_memllm.stores import browser
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer

pytestmark = pytest.mark.neo4j

PICTURE = Path(__file__).parents[2] / "docs" / "browser.png"
BLUE, GREEN, YELLOW = "#2F6DB5", "#6BBF8A", "#F2B84B"  # names, facts, sources: as memllm.grass has them


@pytest.fixture
def memory(neo4j_store: Neo4jStore) -> MemLLMMemory:
    """Two users; of the last one a fact was corrected and one is contested."""
    memory = MemLLMMemory(neo4j_store, relations=[Relation("captains", cardinality="one_at_a_time")])
    memory.write([("Bo", "lives in", "Rome")], user_id="bo")
    people = Source("document", "people.md")
    memory.write(
        [
            Statement("Ada", "lives in", "Oslo", text="Ada has lived in Oslo since 2019."),
            ("Ada", "works for", "Acme"),
            ("Acme", "headquarters location", "Oslo"),
            ("Bo", "works for", "Acme"),
            ("Bo", "captains", "Lyn"),
        ],
        user_id="ada",
        source=people,
    )
    said = Turn(Turn.named("t", "1"), "t", "Is it Lyn or Brann?", kind="web", ref="fans.org")
    memory.hub.keep([said], user_id="ada")
    memory.write([("Ada", "likes", "tea"), ("Ada", "likes", "chess")], user_id="ada")
    memory.write([("Bo", "captains", "Brann"), ("Bo", "likes", "tea")], user_id="ada", source=Source("web", "fans.org"))
    memory.write([("Ada", "lives in", "Bergen")], user_id="ada")
    return memory


# -- the queries, on the server ------------------------------------------------------------------------------------


def ask(driver: Driver, query: str, words: dict[str, str]) -> list[Record]:
    """What a query of the guide returns, with words written between its quotes."""
    (text,) = [each.text for each in browser.queries() if each.name == query]
    for word, value in words.items():
        assert f"'' AS {word}" in text
        text = text.replace(f"'' AS {word}", f"'{value}' AS {word}")
    return driver.execute_query(text).records  # type: ignore[arg-type]


def rows(driver: Driver, query: str, /, **words: str) -> list[dict[str, object]]:
    """The rows of a table."""
    return [record.data() for record in ask(driver, query, words)]


def drawn(driver: Driver, query: str, /, **words: str) -> set[tuple[str, str, str]]:
    """The lines that a query draws, as (from, caption, to)."""
    lines = set()
    for record in ask(driver, query, words):
        path = record["p"]
        assert isinstance(path, GraphPath)
        for line in path.relationships:
            ends = [node.get("name") or node.get("text") or node.get("ref") or node["kind"] for node in line.nodes]
            lines.add((ends[0], line.get("relation") or line.get("text") or "", ends[1]))
    return lines


def test_every_query_returns_what_the_memory_holds(memory: MemLLMMemory, neo4j_driver: Driver) -> None:
    whose = rows(neo4j_driver, "who_has_a_memory_here")
    assert [(row["whose"], row["operations"], row["facts"]) for row in whose] == [
        ('["memllm","ada"]', 4, 9),
        ('["memllm","bo"]', 1, 1),
    ]
    assert drawn(neo4j_driver, "one_users_memory", user="bo") == {("Bo", "lives in", "Rome")}
    assert len(drawn(neo4j_driver, "one_users_memory")) == 9
    ada = {
        ("Ada", "lives in", "Bergen"),
        ("Ada", "works for", "Acme"),
        ("Ada", "likes", "tea"),
        ("Ada", "likes", "chess"),
    }
    assert drawn(neo4j_driver, "facts_of_a_name") == ada
    assert drawn(neo4j_driver, "facts_of_a_name", user="ada", name="ADA") == ada
    assert drawn(neo4j_driver, "facts_of_a_name", user="bo", name="Ada") == set()
    history = [(row["fact"], row["source"], row["why"]) for row in rows(neo4j_driver, "history_of_a_slot")]
    assert history == [("Ada lives in Oslo", "document", "superseded"), ("Ada lives in Bergen", "user", None)]
    assert len(rows(neo4j_driver, "history_of_a_slot", name="ada", relation="likes")) == 2
    contested = [(row["fact"], row["source"]) for row in rows(neo4j_driver, "contested_facts")]
    assert contested == [("Bo captains Lyn", "document"), ("Bo captains Brann", "web")]
    assert rows(neo4j_driver, "contested_facts", user="bo") == []
    assert drawn(neo4j_driver, "where_a_fact_came_from", part="WORKS FOR") == {
        ("Ada works for Acme", "", "people.md"),
        ("Bo works for Acme", "", "people.md"),
    }
    changed = [(row["what"], row["fact"]) for row in rows(neo4j_driver, "what_changed_today")]
    said = ask(neo4j_driver, "what_was_said", {"user": "ada", "word": "brann"})
    assert {record["p"].nodes[-1]["text"] for record in said} == {"Is it Lyn or Brann?"}
    assert {record["q"].nodes[-1]["text"] for record in said} == {"Bo captains Brann", "Bo likes tea"}
    assert ask(neo4j_driver, "what_was_said", {"user": "bo"}) == []
    assert changed[:2] == [("stored", "Ada lives in Bergen"), ("superseded", "Ada lives in Oslo")]
    assert len(changed) == 11


def test_contested_facts_are_those_of_the_memory(memory: MemLLMMemory, neo4j_driver: Driver) -> None:
    told = {str(row["fact"]) for row in rows(neo4j_driver, "contested_facts")}
    facts = [fact for name in ("Ada", "Bo", "Acme") for fact in memory.history(name, user_id="ada")]
    assert told == {" ".join(fact.triple) for fact in facts if fact.state == "contested"}
    (text,) = [query.text for query in browser.queries() if query.name == "contested_facts"]
    listed = text[text.index("[") + 1 : text.index("] AS single")]
    single = sorted(relation.label for relation in Catalogue.shipped() if relation.single_valued)
    assert listed.replace("\n ", "").strip() == ", ".join(f"'{label}'" for label in single)


def test_an_empty_database_answers_with_nothing(neo4j_store: Neo4jStore, neo4j_driver: Driver) -> None:
    for query in browser.queries():
        assert neo4j_driver.execute_query(query.text).records == []  # type: ignore[arg-type]


# -- what is served ------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(neo4j_server: LocalServer) -> Iterator[browser.Pages]:
    served = browser.serve(neo4j_server.http_uri, f"neo4j://localhost:{neo4j_server.bolt_port}")
    yield served
    served.close()


def fetch(address: str, method: str = "GET") -> tuple[bytes, dict[str, str]]:
    with urllib.request.urlopen(urllib.request.Request(address, method=method)) as answer:
        return answer.read(), dict(answer.headers)


def test_pages_are_few_public_and_on_loopback(
    memory: MemLLMMemory, pages: browser.Pages, neo4j_server: LocalServer
) -> None:
    for page in ("memllm.grass", "guide.html", "memllm-favourites.zip"):
        body, headers = fetch(f"{pages.address}/{page}")
        assert headers["Access-Control-Allow-Origin"] == "*"
        for hidden in (b"Ada", b"Bergen", b"people.md", neo4j_server.password.encode()):
            assert hidden not in body
    _, headers = fetch(f"{pages.address}/guide.html", "OPTIONS")
    assert headers["Access-Control-Allow-Headers"] == "*"
    for path in ("/../pyproject.toml", "/queries/", "/guide.html/..", "/etc/passwd"):
        with pytest.raises(HTTPError, match="404"):
            fetch(pages.address + path)
    listening = Path("/proc/net/tcp")
    if listening.exists():
        port = int(pages.address.rpartition(":")[2])
        bound = [line.split()[1].split(":") for line in listening.read_text().splitlines()[1:] if " 0A " in line]
        assert [host for host, number in bound if int(number, 16) == port] == ["0100007F"]


def test_favourites_are_a_folder_of_titled_queries() -> None:
    with zipfile.ZipFile(io.BytesIO(browser.favourites())) as archive:
        names = archive.namelist()
        texts = [archive.read(name).decode() for name in names]
    assert names[0] == "Agent_memory/1_who_has_a_memory_here.cypher"
    assert [text.partition("\n")[0] for text in texts] == [f"// {query.title}" for query in browser.queries()]
    assert len(names) == 8
    assert browser.favourites() == browser.favourites()


# -- in Chromium ---------------------------------------------------------------------------------------------------


def part(page: Page, name: str) -> Locator:
    return page.locator(f'[data-testid="{name}"]')


@pytest.fixture
def page(pages: browser.Pages, neo4j_server: LocalServer) -> Iterator[Page]:
    """Neo4j Browser, connected, with the guide at its side, as the printed link opens it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "not run: no Chromium (Debian: apt-get install chromium)"
        )
    with sync_playwright() as playwright:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        chrome = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = chrome.new_page(viewport={"width": 1280, "height": 760})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        outside: list[str] = []
        page.on("requestfinished", lambda sent: outside.append(sent.url) if "//localhost:" not in sent.url else None)
        page.goto(pages.short_link)
        expect(part(page, "username")).to_have_value("neo4j")
        part(page, "password").fill(neo4j_server.password)
        part(page, "connect").click()
        expect(part(page, "connect")).to_have_count(0)
        expect(part(page, "disconnectedBanner")).to_have_count(0)
        await_connection(page)
        yield page
        assert outside == [], "Browser reached another host"
        chrome.close()


def await_connection(page: Page) -> None:
    """Browser says that it is connected a moment before it is."""
    for _ in range(30):
        frame = run(page, "Who has a memory here")
        expect(frame).to_contain_text(re.compile("record|No connection found"))
        connected = "No connection found" not in frame.inner_text()
        frame.get_by_role("button", name="Close").click()
        if connected:
            return
        page.wait_for_timeout(500)
    pytest.fail("Browser did not connect")


def apply_style(page: Page) -> None:
    page.get_by_text("Apply the memory's colours").click()
    expect(part(page, "frame").first).to_contain_text("node.MemEntity")


def run(page: Page, title: str) -> Locator:
    """Click the play icon of a query in the guide; returns the frame of its result, the newest."""
    query = page.locator("h4", has_text=title).locator("xpath=following-sibling::figure[1]//pre")
    before = part(page, "frame").count()
    query.locator("i").click()
    expect(part(page, "frame")).to_have_count(before + 1)
    return part(page, "frame").first


def captions(frame: Locator) -> set[str]:
    """Words on the nodes; a caption may be broken into lines, and cut."""
    nodes = frame.locator("g.node")
    expect(nodes.first).to_be_visible()
    return {" ".join("".join(nodes.nth(i).locator("text").all_text_contents()).split()) for i in range(nodes.count())}


def colours(frame: Locator) -> set[str]:
    """Fill colours of the nodes."""
    rings = frame.locator("g.node circle")
    found = {rings.nth(i).get_attribute("fill") for i in range(rings.count())}
    return {colour.upper() for colour in found if colour and colour != "none"}


def next_page(page: Page) -> None:
    page.get_by_text("Next", exact=True).click()


def test_every_query_of_the_guide_shows_its_answer(memory: MemLLMMemory, page: Page) -> None:
    expect(page.get_by_role("heading", name="What does the agent remember?").first).to_be_visible()
    apply_style(page)

    expect(run(page, "Who has a memory here")).to_contain_text('"["memllm","bo"]"')
    frame = run(page, "One user's memory")
    everyone = {"Ada", "Bo", "Acme", "Oslo", "Bergen", "tea", "chess", "Lyn", "Brann"}
    assert captions(frame) == everyone
    assert colours(frame) == {BLUE}
    lines = {text.strip() for text in frame.locator("g.relationship").all_text_contents()}  # those too long are cut
    assert lines & {"lives in", "works for", "likes", "captains"}
    assert captions(run(page, "Facts of a name")) == {"Ada", "Bergen", "Acme", "tea", "chess"}

    next_page(page)
    frame = run(page, "History of a slot")
    for words in ("Ada lives in Oslo", "superseded", "Ada lives in Bergen"):
        expect(frame).to_contain_text(words)
    frame = run(page, "Contested facts")
    for words in ("Bo captains Lyn", "Bo captains Brann", "web"):
        expect(frame).to_contain_text(words)
    frame = run(page, "Where a fact came from")
    assert {"user", "web fans.org"} <= captions(frame)
    assert colours(frame) == {GREEN, YELLOW}
    frame = run(page, "What changed today")
    expect(frame).to_contain_text("superseded")
    expect(frame).to_contain_text("Ada lives in Bergen")

    next_page(page)
    expect(page.get_by_text("the queries as favourites")).to_be_visible()


def test_the_readme_s_picture_shows_what_the_page_shows(memory: MemLLMMemory, page: Page) -> None:
    apply_style(page)
    frame = run(page, "One user's memory")
    shown = "; ".join(sorted(captions(frame)))
    page.locator('[aria-label="Collapse the node properties display"]').first.click()
    page.wait_for_timeout(4_000)  # the nodes come to rest
    frame.locator('[aria-label="zoom-to-fit"]').click()
    page.wait_for_timeout(2_000)
    fresh = page.screenshot()
    if os.environ.get("MEMLLM_UPDATE_PICTURE"):
        PICTURE.write_bytes(with_words(fresh, shown))
    kept = PICTURE.read_bytes()
    assert len(kept) < 400_000
    assert words_of(kept) == shown, "the page has changed; run this with MEMLLM_UPDATE_PICTURE=1"
    for picture in (kept, fresh):
        assert share(page, picture, BLUE) > 0.01
    assert abs(share(page, kept, BLUE) - share(page, fresh, BLUE)) < 0.02
    assert share(page, kept, YELLOW) == 0


def with_words(png: bytes, words: str) -> bytes:
    """The picture with a text chunk after its header that says what it shows."""
    chunk = b"tEXtComment\0" + words.encode("latin-1")
    return png[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def words_of(png: bytes) -> str:
    start = png.index(b"tEXtComment\0")
    (length,) = struct.unpack(">I", png[start - 4 : start])
    return png[start + 12 : start + 4 + length].decode("latin-1")


def share(page: Page, png: bytes, colour: str) -> float:
    """How much of a picture has a colour, as Chromium decodes it."""
    count = """async ([data, r, g, b]) => {
      const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
      const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext('2d');
      pen.drawImage(image, 0, 0);
      const all = pen.getImageData(0, 0, image.width, image.height).data;
      let found = 0;
      for (let i = 0; i < all.length; i += 4) found += all[i] === r && all[i+1] === g && all[i+2] === b;
      return found / (all.length / 4); }"""
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float(page.evaluate(count, [base64.b64encode(png).decode(), *channels]))
