"""Whose memory a run uses: from the run's config and context to a namespace. The only place that does this.

A template like ``("memllm", "{user_id}")`` is filled from what the application says about the run, never from text
that a model or a user wrote. A template that cannot be filled is an error: a run without a user gets nobody's memory.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.triples import Namespace, check_namespace

__all__ = ["PLACEHOLDERS", "TEMPLATE", "Scope"]

PLACEHOLDERS: Final = ("user_id", "thread_id", "assistant_id")
"""What a template may ask for."""

TEMPLATE: Final = ("memllm", "{user_id}")
"""One memory for each user."""

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


class Scope:
    """A namespace template, and how it is filled.

    Each label holds at most one placeholder, so that two users can never fill a template to the same namespace.

    Args:
        template: Labels, outermost first; ``{user_id}``, ``{thread_id}`` and ``{assistant_id}`` are filled per run.
        default_user: The user of runs that name none; None: such a run is an error.

    Raises:
        ConfigurationError: An unknown placeholder, two in one label, or a stray brace.
        NamespaceError: A label that cannot be part of a namespace.
    """

    __slots__ = ("_parts", "default_user", "template")

    def __init__(self, template: Namespace = TEMPLATE, *, default_user: str | None = None) -> None:
        """Check the template."""
        self.default_user = default_user
        self.template = check_namespace(template)
        self._parts = tuple(_split(label) for label in self.template)

    def __repr__(self) -> str:
        """The class and the template."""
        return f"{type(self).__name__}({self.template!r})"

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The placeholders of the template, in order, each once."""
        return tuple(dict.fromkeys(name for _, name, _ in self._parts if name))

    @property
    def has_placeholder(self) -> bool:
        """Whether a run must say something for the namespace to be known."""
        return bool(self.placeholders)

    def resolve(
        self, config: Mapping[str, Any] | None = None, runtime: Any = None, *, user_id: object = None
    ) -> Namespace:
        """The namespace of a run.

        Each placeholder takes the first value given by: the argument ``user_id``; the run's context (an attribute or
        key of that name); ``config["configurable"]``; the server that runs the graph (its authenticated user, the
        thread, the assistant); the default user.

        Args:
            config: The run's ``RunnableConfig``.
            runtime: The run's LangGraph ``Runtime``.
            user_id: The user, if the caller knows it.

        Raises:
            NamespaceError: A placeholder has no value, or one that cannot be a label.
        """
        return check_namespace(
            tuple(
                f"{before}{self._value(name, config, runtime, user_id)}{after}" if name else before
                for before, name, after in self._parts
            )
        )

    def for_user(self, user_id: object) -> Namespace:
        """The namespace of a user, outside of any run.

        Raises:
            NamespaceError: The user cannot be a label, or the template asks for more than the user.
        """
        return self.resolve(user_id=user_id)

    def principal(
        self, config: Mapping[str, Any] | None = None, runtime: Any = None, *, user_id: object = None
    ) -> str | None:
        """Who speaks in a run, as far as it says; None if it does not. A person corrects only themself."""
        value = self._first("user_id", config, runtime, user_id)
        return None if value is None else _label("user_id", value)

    def _value(self, name: str, config: Mapping[str, Any] | None, runtime: Any, user_id: object) -> str:
        value = self._first(name, config, runtime, user_id)
        if value is None:
            given = "user_id=… to the call, " if name == "user_id" else ""
            raise NamespaceError(
                f"the namespace {self.template!r} needs {{{name}}}, which this run does not give; pass {given}"
                f"context with {name}, or config={{'configurable': {{'{name}': …}}}}"
            )
        return _label(name, value)

    def _first(self, name: str, config: Mapping[str, Any] | None, runtime: Any, user_id: object) -> object:
        """The first value given for a placeholder, or None."""
        given, default = (user_id, self.default_user) if name == "user_id" else (None, None)
        found = given if given is not None else next((v for v in _values(name, config, runtime) if v is not None), None)
        return default if found is None else found


def _values(name: str, config: Mapping[str, Any] | None, runtime: Any) -> Iterator[object]:
    context = getattr(runtime, "context", None)
    yield context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
    yield ((config or {}).get("configurable") or {}).get(name)
    server = getattr(runtime, "server_info", None)
    match name:
        case "user_id":
            yield getattr(getattr(server, "user", None), "identity", None)
        case "assistant_id":
            yield getattr(server, "assistant_id", None)
        case _:
            yield getattr(getattr(runtime, "execution_info", None), "thread_id", None)


def _label(name: str, value: object) -> str:
    """A given value as text.

    Raises:
        NamespaceError: It is no identifier (a number, text or UUID), or is empty.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | uuid.UUID) or not str(value).strip():
        raise NamespaceError(
            f"{name} {ascii(value)[:60]} ({type(value).__name__}) cannot name a memory; give a text that is not empty"
        )
    return str(value)


def _split(label: str) -> tuple[str, str, str]:
    """Text before the placeholder, its name, text after it; the name is empty if there is none.

    Raises:
        ConfigurationError: An unknown placeholder, two of them, or a stray brace.
    """
    found = list(_PLACEHOLDER.finditer(label))
    rest = _PLACEHOLDER.sub("", label)
    if len(found) > 1:
        raise ConfigurationError(f"namespace label {label!r} holds two placeholders; give each a label of its own")
    if "{" in rest or "}" in rest or (found and found[0][1] not in PLACEHOLDERS):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ConfigurationError(f"namespace label {label!r} cannot be filled; the placeholders are {known}")
    if not found:
        return label, "", ""
    return label[: found[0].start()], found[0][1], label[found[0].end() :]
