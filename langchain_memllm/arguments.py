"""Verbs that are called in another form than theirs: our own error with the right form, not Python's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from langchain_memllm.errors import ConfigurationError

__all__ = ["by_name"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def by_name(hint: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A method whose further arguments are given by name, and that says so with an example.

    Args:
        hint: The form to use, as code.
    """

    def checked(method: Callable[_P, _R]) -> Callable[_P, _R]:
        kinds = [each.kind for each in inspect.signature(method).parameters.values()]
        most = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)

        @functools.wraps(method)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            if len(args) > most:
                takes = "no argument" if most == 1 else "one argument" if most == 2 else f"{most - 1} arguments"
                raise ConfigurationError(
                    f"{method.__name__} takes {takes} without a name, and {len(args) - 1} were given; write {hint}"
                )
            return method(*args, **kwargs)

        return call

    return checked
