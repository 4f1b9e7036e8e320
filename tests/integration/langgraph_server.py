"""``langgraph dev`` on a free port of the loopback interface, with the application beside this file.

Nothing leaves the machine: tracing, analytics and the check for versions are off, and a proxy on loopback that refuses
everything writes down who asked. What cannot be started is an error, in CI as elsewhere: it needs no licence, no key
and no network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

APPLICATION: Final = Path(__file__).parent / "langgraph_app"
_CONFIG: Final = {
    "dependencies": ["."],
    "graphs": {"agent": "./agent.py:agent", "machine": "./agent.py:machine"},
    "auth": {"path": "./auth.py:auth", "disable_studio_auth": True},
}
_QUIET: Final = {
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
}
_START: Final = 120.0  # seconds; it takes nine on two cores
_STOP: Final = 30.0


@dataclass
class LangGraphServer:
    """A running server: its address, where its application lives, and what it asked of other machines."""

    url: str
    folder: Path
    asked: list[str]
    clients: dict[str, SyncLangGraphClient]

    def client(self, user: str) -> SyncLangGraphClient:
        """The client with the token of a user."""
        return self.clients[user]


@contextmanager
def serve(folder: Path) -> Iterator[LangGraphServer]:
    """Serve the application in a folder until the block is left.

    Raises:
        RuntimeError: The server cannot be started.
    """
    for file in APPLICATION.glob("*.py"):
        shutil.copy(file, folder)
    (folder / "langgraph.json").write_text(json.dumps(_CONFIG))
    with ExitStack() as stack:
        proxy, asked = stack.enter_context(_refusing_proxy())
        log = stack.enter_context((folder / "server.log").open("w"))
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        headers = {user: {"Authorization": f"Bearer token-of-{user}"} for user in ("ada", "bob")}
        clients = {user: stack.enter_context(get_sync_client(url=url, headers=headers[user])) for user in headers}
        command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(proxy), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        server = LangGraphServer(url, folder, asked, clients)
        try:
            _wait_until_up(process, server)
            yield server
        finally:
            _stop(process)


def _environment(proxy: str) -> dict[str, str]:
    own = ("LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_", "NEO4J_", "OPENAI_", "MEMLLM_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(own) and not name.lower().endswith("_proxy")
    }
    proxies = {name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")}
    return {**kept, **_QUIET, **proxies, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _wait_until_up(process: subprocess.Popen[bytes], server: LangGraphServer) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{server.url}/ok", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    tail = (server.folder / "server.log").read_text()[-3000:]
    raise RuntimeError(f"langgraph dev did not start within {_START:.0f} s (exit status {process.poll()}):\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server as a terminal does, and what it started; kill what does not go."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


@contextmanager
def _refusing_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that connects to nobody, and writes down what it was asked for."""
    asked: list[str] = []

    class Refuses(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            asked.append(self.requestline)
            self.send_error(403)

        do_CONNECT = do_GET = do_POST = refuse

        def log_message(self, format: str, *args: Any) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", asked
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
