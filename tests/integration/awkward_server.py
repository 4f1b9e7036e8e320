"""An OpenAI-compatible server on loopback that answers as servers and models do, not as they should.

A situation is made for one function, so that the same reply is sent to the extractor (``record_facts``) and to the
reader (``memory_read``); who is asking is told by the tools and the text of a request.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FACT = {"subject": "user", "relation": "lives in", "object": "Oslo"}
QUERY = {"subject": "user", "relation": "lives in"}
FUNCTIONS = {"record_facts": {"facts": [FACT]}, "memory_read": {"queries": [QUERY]}}


@dataclass(frozen=True)
class Status:
    """An answer that is none."""

    code: int
    body: str

    @classmethod
    def error(cls, status: int, message: str, **more: Any) -> Status:
        return cls(status, json.dumps({"error": {"message": message, "type": "invalid_request_error", **more}}))


@dataclass(frozen=True)
class Events:
    """A stream: what stands after each ``data:``, and whether the line is cut in the middle of the last one."""

    data: tuple[str, ...]
    cut: bool = False
    raw: bool = False


Message = Mapping[str, Any]
Reply = Message | Status | Events
Script = Callable[[dict[str, Any]], Reply]


@dataclass
class Served:
    """A running server: its address, and every request in order."""

    url: str
    log: list[dict[str, Any]] = field(default_factory=list)


_NUMBERS = itertools.count()


@contextmanager
def serve(script: Script) -> Iterator[Served]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}/{next(_NUMBERS)}/v1"  # clients are kept by address, ports return
    server.script, server.state = script, Served(address)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.state  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.state.log.append(request)  # type: ignore[attr-defined]
        reply = self.server.script(request)  # type: ignore[attr-defined]
        if isinstance(reply, Status):
            self.send(reply.code, "application/json", reply.body)
        elif isinstance(reply, Events):
            self.events(reply)
        elif request.get("stream"):
            self.events(Events((*streamed(reply), "[DONE]")))
        else:
            self.send(200, "application/json", json.dumps(completion(reply)))

    def send(self, status: int, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def events(self, events: Events) -> None:
        body = "".join(each if events.raw else f"data: {each}\n\n" for each in events.data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body) + 999 if events.cut else len(body)))
        self.end_headers()
        self.wfile.write(body[:-20] if events.cut else body)
        self.wfile.flush()
        self.close_connection = events.cut

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def completion(message: Message) -> dict[str, Any]:
    message = dict(message)
    reason = message.pop("finish_reason", "tool_calls" if message.get("tool_calls") else "stop")
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": USAGE}


def chunk(delta: Mapping[str, Any], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})


def streamed(message: Message) -> Iterator[str]:
    """A message in pieces: its text by three characters, its calls whole."""
    yield chunk({"role": "assistant", "content": ""})
    text = message.get("content") or ""
    for at in range(0, len(text), 3):
        yield chunk({"content": text[at : at + 3]})
    for at, call in enumerate(message.get("tool_calls") or ()):
        yield chunk({"tool_calls": [{"index": at, **call}]})
    yield chunk({}, message.get("finish_reason", "tool_calls" if message.get("tool_calls") else "stop"))


# --- who asks ---------------------------------------------------------------------------------------------------------


def tools_of(request: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in request.get("tools") or ()]


def text_of(request: dict[str, Any]) -> str:
    return "\n".join(str(message.get("content")) for message in request["messages"])


def asked_for(request: dict[str, Any]) -> str:
    """The function that this request is about."""
    return "record_facts" if "record the facts" in text_of(request) else "memory_read"


def told(request: dict[str, Any]) -> bool:
    """Whether the memory has answered in this request."""
    text = text_of(request)
    return "user | lives in | ? = Oslo" in text or "-->Oslo" in text


def plainly(request: dict[str, Any]) -> Message:
    """What a good model answers where no tools are offered: JSON, or the grammar."""
    if asked_for(request) == "record_facts":
        return {"content": json.dumps(FUNCTIONS["record_facts"])}
    return {"content": "You live in ({MEM_READ(user>>lives in>>)"}


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    written = arguments if isinstance(arguments, str) or arguments is None else json.dumps(arguments)
    return {"id": "call_0", "type": "function", "function": {"name": name, "arguments": written}, **more}


def well(request: dict[str, Any]) -> Message:
    """What a good model answers with tools."""
    name = tools_of(request)[0]
    return {"tool_calls": [call(name, FUNCTIONS[name])]}
