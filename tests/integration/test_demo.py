"""``memllm demo`` as people run it: with a served model over HTTP on either store, and with the real local model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openai_server import serve

from langchain_memllm.stores.server import LocalServer

BORN = re.compile(r"\[(\d+)\] (?:He|She) was born in (\w+)")
ASKED = re.compile(r"What is the (.+) of (.+)\?")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """A model that finds places of birth, reads before it answers, and says what it was told."""
    tools = [tool["function"]["name"] for tool in request.get("tools", [])]
    last = request["messages"][-1]
    if "record_facts" in tools:
        earlier, _, text = last["content"].rpartition("Text:")
        names = re.findall(r"- (\S+ \S+) \(", earlier)
        found = BORN.search(text)
        facts = [{"subject": names[-1], "relation": "place of birth", "object": found[2]}] if found and names else []
        return {"tool_calls": [("record_facts", {"facts": facts})]}
    if last["role"] == "tool":
        return {"content": f"I read: {last['content']}"}
    asked = ASKED.search(last["content"])
    assert asked is not None, last
    return {"tool_calls": [("memory_read", {"queries": [{"subject": asked[2], "relation": asked[1]}]})]}


def run_demo(*arguments: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "NEO4J", "MEMLLM_"))}
    if "MEMLLM_CACHE" in os.environ:
        kept["MEMLLM_CACHE"] = os.environ["MEMLLM_CACHE"]
    command = [str(Path(sys.executable).with_name("memllm")), "demo", *arguments]
    done = subprocess.run(
        command, env={**kept, **environment}, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_served(printed: str) -> None:
    assert "(Per Kleiva, place of birth, Torsken)  stored" in printed
    assert "1 of 5 answers right" in printed
    assert "pasted   Torsken  as in the store" in printed
    assert "supersedes 1" in printed
    assert printed.count("pasted   Atlantis  as in the store") == 1
    after = printed.partition("4. Forget")[2]
    assert "pasted   (nothing)  as in the store" in after and "Atlantis" not in after
    assert "8 of 8 times the names pasted into the answer were exactly those in the store" in printed
    conversations = printed.partition("5. Two conversations")[2]
    assert "4 of 4 questions found what was said" in conversations
    assert re.search(r"Wie heißt meine Schwester\?\s+fact\s+\(user, sister, Clara\)", conversations)
    assert re.search(r"ferry\?\s+said\s+The ticket code of the ferry is XK-4711", conversations)


def test_with_a_model_behind_the_openai_interface() -> None:
    with serve(answer) as server:
        printed = run_demo(OPENAI_API_KEY="test", OPENAI_BASE_URL=server.url, OPENAI_MODEL="scripted")
        check_served(printed)
        assert len(server.log) == 8 + 2 * 7  # one call a sentence, two a question


@pytest.mark.neo4j
@pytest.mark.usefixtures("neo4j_store")  # an empty graph, whatever the tests before kept in it
def test_on_neo4j(neo4j_server: LocalServer) -> None:
    with serve(answer) as server:
        printed = run_demo(
            "--store",
            neo4j_server.uri,
            OPENAI_API_KEY="test",
            OPENAI_BASE_URL=server.url,
            OPENAI_MODEL="scripted",
            NEO4J_USERNAME=neo4j_server.user,
            NEO4J_PASSWORD=neo4j_server.password,
        )
    check_served(printed)


@pytest.mark.model
@pytest.mark.slow
def test_with_the_local_model_the_pasted_names_follow_the_store() -> None:
    printed = run_demo()
    right = re.search(r"(\d) of 5 answers right", printed)
    assert right is not None
    assert 0 <= int(right[1]) <= 5
    assert "(Robert A. Stemmle, place of death, Baden-Baden)" in printed
    assert "pasted   Atlantis  as in the store" in printed
    assert "8 of 8 times the names pasted into the answer were exactly those in the store" in printed
