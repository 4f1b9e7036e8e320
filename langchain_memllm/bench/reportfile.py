"""Files of reports: JSON with one answer a line, so that two of them can be compared line by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from langchain_memllm.errors import ConfigurationError

__all__ = ["load", "write"]

_R = TypeVar("_R")


def write(file: IO[str], head: Mapping[str, Any], sets: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write a report.

    Args:
        file: Where to.
        head: What it says of all sets; ``form`` says what it is a report of.
        sets: The answers of each set.
    """
    parts = (
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(each) for each in answers) + "\n]"
        for name, answers in sets.items()
    )
    file.write(json.dumps(head)[:-1] + ', "sets": {\n' + ",\n".join(parts) + "\n}}\n")


def load(file: Path, form: str, read: Callable[[dict[str, Any]], _R]) -> _R:
    """What ``read`` makes of a report of this form.

    Raises:
        ConfigurationError: The file cannot be read, or holds something else.
    """
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        if held["form"] != form:
            raise ValueError(f"its form is {held['form']!r}")
        return read(held)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{file} is not a report of `{form}` ({type(error).__name__}: {error}); give one that --json kept"
        ) from error
