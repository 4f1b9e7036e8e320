"""Loads folders of models one after the other and tells how each ended: the process that A22 watches from outside.

Run as a program. Each line of its input is JSON, ``[base, adapter or null]``; each line of its output tells how
that ended and which events an audit hook saw: connections, processes, pickles, code of a folder.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from langchain_memllm.errors import MemLLMError
from langchain_memllm.local import MemLLMModel, weights

__all__ = ["main"]

_WATCHED: Final = (
    *("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"),
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen"),
    *("pickle.find_class", "exec"),
)
_seen: Final[list[str]] = []
_MESSAGES: Final = [{"role": "user", "content": "Hi"}]


class _Trusting:
    """A loader that trusts a folder as most programs do: what the check must notice."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def from_pretrained(self, *arguments: Any, **options: Any) -> Any:
        return self._loader.from_pretrained(*arguments, **{**options, "trust_remote_code": True})


def main() -> None:
    """Answer line by line. Arguments: the folder that holds all others, and ``trusting`` for the sabotage."""
    root, *rest = sys.argv[1:]
    if "trusting" in rest:
        vars(weights)["AutoModelForCausalLM"] = _Trusting(vars(weights)["AutoModelForCausalLM"])
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        sys.addaudithook(lambda event, given: _notice(root, event, given))
        for line in sys.stdin:
            _seen.clear()
            ended = _end_of(*json.loads(line))
            answers.write(json.dumps({"ended": ended[0], "typed": ended[1], "events": sorted(set(_seen))}) + "\n")
            answers.flush()


def _end_of(base: str, adapter: str | None) -> tuple[str, bool]:
    try:
        model = MemLLMModel.from_pretrained(base, device="cpu", read_adapter=adapter)
        model.chat(_MESSAGES, 1)
    except MemLLMError as error:
        return f"{type(error).__name__}: {error}", True
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:300], False
    return "", True


def _notice(root: str, event: str, given: tuple[Any, ...]) -> None:
    """Keep what no folder may cause. Code is run all the time, by imports: only that of the folders is told."""
    if event in _WATCHED and (event != "exec" or Path(str(getattr(given[0], "co_filename", ""))).is_relative_to(root)):
        _seen.append(event)


if __name__ == "__main__":
    main()
