"""The results of an evaluation as they come, in a file beside its report, so that one that was stopped goes on.

One line of JSON each: first what is evaluated and how, then the results of some cases, what step they are of and the
seconds that they took. A last line that a kill cut off is dropped.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_memllm import private
from langchain_memllm.errors import ConfigurationError, ModelError

__all__ = ["Journal", "Results"]

Results = dict[str, dict[str, Any]]
"""What each case came to, by its ``id``."""


class Journal:
    """Results by step and case.

    Args:
        file: Where they are kept; None for in memory only.
        about: What is evaluated and how; JSON-ready.

    Raises:
        ConfigurationError: The file is of another evaluation, or damaged.
        ModelError: It cannot be written.
    """

    def __init__(self, file: Path | None, about: Mapping[str, Any]) -> None:
        self.file = file
        self.seconds = 0.0
        self._results: defaultdict[str, Results] = defaultdict(dict)
        if file is None:
            return
        if file.exists():
            self._take_up(file, json.loads(json.dumps(about)))
        else:
            self._append({"about": about})

    def of(self, step: str) -> Results:
        """What is known of a step, by case."""
        return self._results[step]

    def add(self, step: str, results: Results, seconds: float) -> None:
        """Keep what cases came to in a step.

        Raises:
            ModelError: It cannot be written.
        """
        if self.file is not None:
            self._append({"step": step, "seconds": round(seconds, 1), "results": results})
        self._note(step, results, seconds)

    def _note(self, step: str, results: Results, seconds: float) -> None:
        self._results[step] |= results
        self.seconds += seconds

    def _append(self, line: Mapping[str, Any]) -> None:
        assert self.file is not None
        with self._writing(), private.opened(self.file) as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ModelError(
                f"results cannot be written to {self.file} ({error}); free space there, or give another --json-out"
            ) from error

    def _take_up(self, file: Path, about: Mapping[str, Any]) -> None:
        """Read what is there; only what is of this evaluation is touched."""
        try:
            data = file.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            first, *lines = [json.loads(line) for line in whole.decode("utf-8").split("\n")[:-1]]
            kept = dict(first["about"])
            for line in lines:
                self._note(line["step"], line["results"], line["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{file} holds no results of an evaluation that was stopped ({type(error).__name__}: {error}); "
                "remove it, or give another --json-out"
            ) from error
        differ = [name for name in {**kept, **about} if kept.get(name) != about.get(name)]
        if differ:
            raise ConfigurationError(
                f"{file} holds results of another evaluation, which differs in {', '.join(differ)}; run it as before, "
                "give another --json-out, or remove that file"
            )
        with self._writing(), file.open("r+b") as opened:
            opened.truncate(len(whole))
