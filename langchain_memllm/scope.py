"""Whose memory a run uses: from the run's config and context to a namespace. The only place that does this.

A template like ``("memllm", "{user_id}")`` is filled from what the application says about the run, never from text
that a model or a user wrote. On a server with authentication the user is whoever it authenticated: a client that names
another one is refused. A template that cannot be filled is an error: a run without a user gets nobody's memory.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, get_args

from typing_extensions import TypedDict

from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.triples import Namespace, check_namespace, stable_hash

__all__ = [
    "PLACEHOLDERS",
    "TEMPLATE",
    "Identity",
    "MemLLMContext",
    "Run",
    "Scope",
    "current_run",
    "run_of",
    "thread_of",
]


class MemLLMContext(TypedDict):
    """The context of a run of LangGraph: whose memory it uses."""

    user_id: NotRequired[str]


PLACEHOLDERS: Final = ("user_id", "thread_id", "assistant_id")
"""What a template may ask for."""

TEMPLATE: Final = ("memllm", "{user_id}")
"""One memory for each user."""

Identity = Literal["server", "run"]
"""Who is the user where a server authenticated somebody: that identity, or whomever the run names."""

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_RUNTIME: Final = "__pregel_runtime"  # where LangGraph keeps the Runtime in a run's config (its CONFIG_KEY_RUNTIME)
_AUTH_USER: Final = ("langgraph_auth_user", "langgraph_auth_user_id")  # set by Agent Server, refused from its clients
_MAX_PREFIX: Final = 40  # of 64 characters that a tool's name may have
_INVISIBLE: Final = "\u200b\u2060\ufeff"  # zero-width characters that str.strip() leaves


@dataclass(frozen=True, slots=True)
class Run:
    """The LangChain or LangGraph run that code is part of."""

    config: Mapping[str, Any]
    runtime: Any = None


def current_run() -> Run | None:
    """The run that the caller is part of, in this thread or task or a copy of its context; None outside of runs.

    LangChain is not imported for it: where its module is not loaded there is no run.
    """
    module = sys.modules.get("langchain_core.runnables.config")
    config = module.var_child_runnable_config.get() if module is not None else None
    return None if config is None else Run(config, _runtime_of(config))


def run_of(config: Mapping[str, Any] | None) -> Run | None:
    """The run that a call with this config belongs to: the one it names something of, else that of the caller."""
    if config and config.get("configurable"):
        return Run(config, _runtime_of(config))
    return current_run()


def thread_of(config: Mapping[str, Any] | None, runtime: Any = None) -> str:
    """The thread of a run; empty if it has none."""
    found = _place("thread_id", config, _runtime_of(config) if runtime is None else runtime)
    return "" if found is None else str(found)


class Scope:
    """A namespace template, and how it is filled.

    Each label holds at most one placeholder, so that two users can never fill a template to the same namespace.

    Args:
        template: Labels, outermost first; ``{user_id}``, ``{thread_id}`` and ``{assistant_id}`` are filled per run.
        default_user: The user of runs that name none; None: such a run is an error.
        identity: ``server``: where a server authenticated somebody, that is the user, and a run that names another
            one is an error. ``run``: the run may name anybody. That is for a gateway you trust, which calls the server
            with one service account and names the user itself; elsewhere any client reads any memory.

    Raises:
        ConfigurationError: An unknown placeholder, two in one label, a stray brace, or an unknown ``identity``.
        NamespaceError: A label that cannot be part of a namespace.
    """

    __slots__ = ("_parts", "default_user", "identity", "template")

    def __init__(
        self, template: Namespace = TEMPLATE, *, default_user: str | None = None, identity: Identity = "server"
    ) -> None:
        """Check the template."""
        if identity not in get_args(Identity):
            raise ConfigurationError(f"identity={identity!r} is unknown; use one of {', '.join(get_args(Identity))}")
        self.default_user, self.identity = default_user, identity
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

    @property
    def is_shared(self) -> bool:
        """Whether several users have one namespace: the template asks for no user."""
        return "user_id" not in self.placeholders

    @property
    def owner(self) -> str | None:
        """What to call this memory beside others: its own labels, as "team/acme"; None for that of the template."""
        return None if self.template == TEMPLATE else "/".join(before + after for before, _, after in self._own())

    @property
    def prefix(self) -> str:
        """Prefix of tool names that no other template has: empty for the usual one, "team_acme_" for ("team", "acme").

        A template with a placeholder, or with labels that would look like another's, has some digits of a hash in it.
        """
        if self.template == TEMPLATE:
            return ""
        plain = re.sub(r"[^A-Za-z0-9-]+", "_", "_".join(before + after for before, _, after in self._own())).strip("_")
        exact = not self.has_placeholder and all(re.fullmatch(r"[A-Za-z0-9-]+", label) for label in self.template)
        if exact and len(plain) <= _MAX_PREFIX:
            return f"{plain}_"
        digest = stable_hash("prefix", *self.template)[:6]
        return "_".join(filter(None, (plain[:_MAX_PREFIX].strip("_"), digest))) + "_"

    def _own(self) -> list[tuple[str, str, str]]:
        """The labels that hold more than a placeholder."""
        return [part for part in self._parts if part[0] or part[2]]

    def resolve(
        self, config: Mapping[str, Any] | None = None, runtime: Any = None, *, user_id: object = None
    ) -> Namespace:
        """The namespace of a run.

        ``{user_id}`` is the first given of: the argument ``user_id``; the identity that the server authenticated; the
        run's context (an attribute or key of that name); ``config["configurable"]``; the default user. ``{thread_id}``
        and ``{assistant_id}`` are the server's or graph's own, else the configured ones.

        Args:
            config: The run's ``RunnableConfig``.
            runtime: The run's LangGraph ``Runtime``; by default the one in its config.
            user_id: The user, if the caller knows it.

        Raises:
            NamespaceError: A placeholder has no value, or one that cannot be a label, or the run names another user
                than the server authenticated.
        """
        runtime = _runtime_of(config) if runtime is None else runtime
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
        """Who speaks in a run, as far as it says; None if it does not. A person corrects only themself.

        Raises:
            NamespaceError: As for ``resolve``.
        """
        value = self._user(config, _runtime_of(config) if runtime is None else runtime, user_id)
        return None if value is None else _label("user_id", value)

    def user_of(self, namespace: object) -> str | None:
        """The user whose namespace this is: the inverse of ``for_user``; None if it is not one of this template."""
        if not isinstance(namespace, tuple | list) or len(namespace) != len(self._parts):
            return None
        found: str | None = None
        for label, (before, name, after) in zip(namespace, self._parts, strict=True):
            if not isinstance(label, str):
                return None
            value = label[len(before) : len(label) - len(after)]
            if f"{before}{value}{after}" != label or (not name and value) or (name and not value):
                return None
            if name == "user_id":
                if found not in (None, value):
                    return None
                found = value
        return found

    def _value(self, name: str, config: Mapping[str, Any] | None, runtime: Any, user_id: object) -> str:
        value = self._user(config, runtime, user_id) if name == "user_id" else _place(name, config, runtime)
        if value is None:
            given = "user_id=… to the call, " if name == "user_id" else ""
            raise NamespaceError(
                f"the namespace {self.template!r} needs {{{name}}}, which this run does not give; pass {given}"
                f"context with {name}, or config={{'configurable': {{'{name}': …}}}}"
            )
        return _label(name, value)

    def _user(self, config: Mapping[str, Any] | None, runtime: Any, user_id: object) -> object:
        """The user of a call, or None.

        Raises:
            NamespaceError: The run names another one than the server authenticated.
        """
        if user_id is not None:
            return user_id
        named = [(where, value) for where, value in _named("user_id", config, runtime) if value is not None]
        identity, is_developer = _authenticated(config, runtime)
        if identity is not None and self.identity == "server" and not is_developer:
            for where, value in named:
                if str(value) != str(identity):
                    raise NamespaceError(
                        f"the run's {where} names the user {ascii(value)[:60]}, but the server authenticated "
                        f"{ascii(identity)[:60]}; leave user_id out of the run, or open the memory with "
                        "identity='run' if only a service that you trust can start runs"
                    )
            return identity
        return next((value for _, value in named), self.default_user if identity is None else identity)


def _named(name: str, config: Mapping[str, Any] | None, runtime: Any) -> Iterator[tuple[str, object]]:
    """What whoever started the run gave for a placeholder, and where."""
    context = getattr(runtime, "context", None)
    yield "context", context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
    yield "configurable", _configurable(config).get(name)


def _place(name: str, config: Mapping[str, Any] | None, runtime: Any) -> object:
    """The thread or the assistant of a run, or None: what runs the graph knows them better than whoever called it."""
    own = getattr(runtime, "execution_info" if name == "thread_id" else "server_info", None)
    given = [getattr(own, name, None) or None]  # LangGraph writes '' for an assistant that is not known
    given += [value for _, value in reversed(list(_named(name, config, runtime)))]
    return next((value for value in given if value is not None), None)


def _authenticated(config: Mapping[str, Any] | None, runtime: Any) -> tuple[object, bool]:
    """The identity that a server authenticated (None: nobody), and whether that is LangGraph Studio's own user.

    Raises:
        NamespaceError: There is an authenticated user without an identity, or there are two.
    """
    configurable = _configurable(config)
    user, user_id = (configurable.get(key) for key in _AUTH_USER)
    users = [getattr(getattr(runtime, "server_info", None), "user", None), user]
    found = {str(name): name for name in (*map(_identity, users), user_id) if name not in (None, "")}
    if len(found) > 1:
        raise NamespaceError(
            f"the server authenticated two users, {' and '.join(map(ascii, sorted(found)))}; a graph that calls "
            "another one must not change langgraph_auth_user in its config"
        )
    return next(iter(found.values()), None), any(map(_is_studio, users))


def _identity(user: Any) -> object:
    """The identity of a server's user object; None if nobody was authenticated.

    Raises:
        NamespaceError: Somebody was, but has no identity.
    """
    if user is None:
        return None
    get = user.get if isinstance(user, Mapping) else lambda name, default=None: getattr(user, name, default)
    identity = get("identity")
    if identity in (None, ""):
        if get("is_authenticated", True):
            raise NamespaceError(
                f"the server authenticated a user without an identity ({type(user).__name__}); return one from the "
                "authentication handler"
            )
        return None
    return _label("the server's identity", identity)


def _is_studio(user: object) -> bool:
    """Whether this is a developer in LangGraph Studio: by the SDK's class, which no client can send."""
    types = sys.modules.get("langgraph_sdk.auth.types")
    return types is not None and isinstance(user, types.StudioUser)


def _configurable(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (config or {}).get("configurable") or {}


def _runtime_of(config: Mapping[str, Any] | None) -> Any:
    return _configurable(config).get(_RUNTIME)


def _label(name: str, value: object) -> str:
    """A given value as text. Stray whitespace is refused, not stripped: on a server it could be another person's id.

    Raises:
        NamespaceError: It is not an identifier (a number, text or UUID), is empty, or has whitespace around it.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | uuid.UUID) or not str(value).strip():
        raise NamespaceError(
            f"{name} {ascii(value)[:60]} ({type(value).__name__}) cannot name a memory; give a text that is not empty"
        )
    text = str(value)
    if (bare := text.strip().strip(_INVISIBLE).strip()) != text:
        raise NamespaceError(f"{name} {ascii(text)[:60]} has whitespace around it; give {ascii(bare)[:60]}")
    return text


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
