"""An OpenAI-compatible HTTP server on loopback, for tests: scripted chat completions, plain or streamed, and a log."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[dict[str, Any]], dict[str, Any] | int]
"""From the request's JSON to the message (``content``, ``tool_calls`` as (name, arguments)), or an HTTP status."""


@dataclass
class OpenAIServer:
    """A running server: its address, and the JSON of every request in order."""

    url: str
    log: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def serve(script: Script) -> Iterator[OpenAIServer]:
    """Serve ``/v1/chat/completions`` on a free port of the loopback interface until the block is left."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.script, server.state = script, OpenAIServer(f"http://127.0.0.1:{server.server_port}/v1")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.state  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.state.log.append(request)  # type: ignore[attr-defined]
        answer = self.server.script(request) if self.path == "/v1/chat/completions" else 404  # type: ignore[attr-defined]
        if isinstance(answer, int):
            self.reply(answer, "application/json", json.dumps({"error": {"message": "refused", "type": "refused"}}))
        elif request.get("stream"):
            self.reply(200, "text/event-stream", "".join(f"data: {event}\n\n" for event in events(request, answer)))
        else:
            self.reply(200, "application/json", json.dumps(completion(request, answer)))

    def reply(self, status: int, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr; the log is in the state."""


def calls_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "index": n,
            "id": f"call-{n}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for n, (name, arguments) in enumerate(answer.get("tool_calls", []))
    ]


def cut(request: dict[str, Any], text: str) -> str:
    stop = request.get("stop") or []
    places = [at for each in ([stop] if isinstance(stop, str) else stop) if (at := text.find(each)) >= 0]
    return text[: min(places)] if places else text


def envelope(request: dict[str, Any], kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 0, "model": request["model"], "choices": [{"index": 0, **choice}]}


def completion(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    calls = calls_of(answer)
    message = {"role": "assistant", "content": cut(request, answer.get("content", ""))}
    message |= {"tool_calls": calls} if calls else {}
    choice = {"message": message, "finish_reason": "tool_calls" if calls else "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {**envelope(request, "chat.completion", choice), "usage": usage}


def events(request: dict[str, Any], answer: dict[str, Any]) -> Iterator[str]:
    """Word by word, then the tool calls, then the end."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [
        {"content": word} for word in cut(request, answer.get("content", "")).replace(" ", "\x00 ").split("\x00")
    ]
    deltas += [{"tool_calls": [call]} for call in calls_of(answer)]
    for delta in deltas:
        yield json.dumps(envelope(request, "chat.completion.chunk", {"delta": delta, "finish_reason": None}))
    reason = "tool_calls" if answer.get("tool_calls") else "stop"
    yield json.dumps(envelope(request, "chat.completion.chunk", {"delta": {}, "finish_reason": reason}))
    yield "[DONE]"
