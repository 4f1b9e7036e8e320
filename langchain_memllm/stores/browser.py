"""The memory in Neo4j Browser: a style, a guide and favourites, served to a Browser that runs beside it.

The pages are the files of ``graph_schema/browser``; they hold queries, never a name, a fact or a password. Browser
fetches them from ``localhost``, which its server allows by default, and only with CORS headers. What it can do with
them was observed with Browser 5.24; the queries work pasted into any client.
"""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores.address import refuse_secret
from langchain_memllm.stores.cypher import schema_folder

__all__ = ["Pages", "Query", "browser_of", "favourites", "guide", "queries", "save", "serve", "style"]

STYLE: Final = "memllm.grass"
GUIDE: Final = "guide.html"
FAVOURITES: Final = "memllm-favourites.zip"
_FOLDER: Final = "Agent_memory"
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Query:
    """One query for people.

    Attributes:
        name: Name of its file without the number: what the guide calls it by.
        file: Name of its file.
        title: Its first comment line; Browser names the favourite so.
        text: The whole file.
    """

    name: str
    file: str
    title: str
    text: str


def queries() -> tuple[Query, ...]:
    """The queries of the guide, in its order."""
    folder = schema_folder() / "browser" / "queries"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".cypher"))
    return tuple(_query(name, folder.joinpath(name).read_text(encoding="utf-8")) for name in files)


def _query(file: str, text: str) -> Query:
    title = text.partition("\n")[0].removeprefix("// ")
    return Query(file.removesuffix(".cypher").partition("_")[2], file, title, text.strip())


def style() -> str:
    """The GraSS file: colours and captions by label."""
    return (schema_folder() / "browser" / STYLE).read_text(encoding="utf-8")


def guide(address: str) -> str:
    """The guide "What does the agent remember?".

    Args:
        address: Where the style and the favourites are served, without a slash at the end.
    """
    page = (schema_folder() / "browser" / GUIDE).read_text(encoding="utf-8")
    parts = {"address": address, **{query.name: _runnable(query) for query in queries()}}
    return _PLACE.sub(lambda place: parts[place.group(1)], page)


def _runnable(query: Query) -> str:
    """Title, what its comments say, and the bare query to click on."""
    lines = query.text.splitlines()[1:]
    told = " ".join(line.removeprefix("// ") for line in lines if line.startswith("//"))
    body = "\n".join(line for line in lines if not line.startswith("//"))
    return (
        f"<h4>{escape(query.title)}</h4>\n"
        + (f"<p>{escape(told)}</p>\n" if told else "")
        + f'<figure><pre class="pre-scrollable code runnable">{escape(body, quote=False)}</pre></figure>'
    )


def favourites() -> bytes:
    """A zip file of the queries: dropped on Browser's page, it becomes a folder of favourites."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for query in queries():  # a fixed date, so that the same queries are the same bytes
            archive.writestr(zipfile.ZipInfo(f"{_FOLDER}/{query.file}", (2026, 1, 1, 0, 0, 0)), query.text)
    return packed.getvalue()


def save(folder: Path) -> tuple[Path, ...]:
    """Write style and favourites into a folder: both can be dropped on Browser's page, which needs no address."""
    folder.mkdir(parents=True, exist_ok=True)
    written = (folder / STYLE, folder / FAVOURITES)
    written[0].write_text(style(), encoding="utf-8")
    written[1].write_bytes(favourites())
    return written


def browser_of(store: str) -> str:
    """Where Neo4j Browser is for a store, if its server was set up as usual.

    Raises:
        ConfigurationError: No Neo4j address.
    """
    parts = urlsplit(store)
    if parts.scheme.partition("+")[0] not in ("neo4j", "bolt") or not parts.hostname:
        raise ConfigurationError("Neo4j Browser shows a memory on Neo4j; give --store neo4j://host")
    secure = "+" in parts.scheme
    return f"{'https' if secure else 'http'}://{parts.hostname}:{7473 if secure else 7474}"


def serve(base: str, store: str, port: int = 0) -> Pages:
    """Serve style, guide and favourites on loopback, in a thread, until they are closed.

    Args:
        base: Where Neo4j Browser is, as ``http://localhost:7474``.
        store: Address of the database, without user and password.
        port: Port to serve on; 0 takes a free one.

    Raises:
        ConfigurationError: ``base`` is not a web address.
        OSError: The port is taken.
    """
    for address in (base, store):
        refuse_secret(address)
    if urlsplit(base).scheme not in ("http", "https"):
        raise ConfigurationError("that is not the address of Neo4j Browser; write one like http://localhost:7474")
    return Pages(base, store, port)


class Pages:
    """Pages being served on loopback, until ``close``.

    Attributes:
        address: ``http://localhost:PORT``.
        link: Opens Browser with the address of the database filled in and the guide beside it.
        short_link: Leads to ``link``.
    """

    def __init__(self, base: str, store: str, port: int) -> None:
        """Serve; use ``serve`` instead."""
        self._server = _Server(("127.0.0.1", port), _Handler)
        self.address = f"http://localhost:{self._server.server_address[1]}"
        self.link = _link(base, store, f"{self.address}/{GUIDE}")
        self.short_link = f"{self.address}/"
        self._server.link = self.link
        self._server.pages = {
            f"/{STYLE}": ("text/plain; charset=utf-8", style().encode()),
            f"/{GUIDE}": ("text/html; charset=utf-8", guide(self.address).encode()),
            f"/{FAVOURITES}": ("application/zip", favourites()),
        }
        self._thread = threading.Thread(target=self._server.serve_forever, name="memllm-browser", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until they are closed."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _link(base: str, store: str, guide_address: str) -> str:
    """Browser takes the user from the address and drops a password; ``cmd=guide`` opens the side bar."""
    parts = urlsplit(store)
    host = f"{parts.hostname}:{parts.port or 7687}"
    database = quote(f"{parts.scheme}://neo4j@{host}", safe="")
    return f"{base.rstrip('/')}/browser/?dbms={database}&cmd=guide&arg={quote(guide_address, safe='')}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    link: str
    pages: Mapping[str, tuple[str, bytes]]


class _Handler(BaseHTTPRequestHandler):
    """Answers with the few pages there are, from memory: no path ever reaches the file system."""

    server: _Server

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(302, {"Location": self.server.link})
            return
        kind, body = self.server.pages.get(self.path, ("", b""))
        if kind:
            self._answer(200, {"Content-Type": kind, "Cache-Control": "no-store"}, body)
        else:
            self._answer(404, {"Content-Type": "text/plain"}, b"no such page")

    def do_OPTIONS(self) -> None:
        self._answer(204, {"Access-Control-Allow-Methods": "GET", "Access-Control-Allow-Private-Network": "true"})

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        allow = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        for name, value in {**allow, **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal shows the link."""
