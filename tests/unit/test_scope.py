"""Who a run belongs to: the order of the sources, odd labels, and nothing at all."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.scope import Scope


@dataclass
class Context:
    user_id: str | None = None


def runtime(context=None, identity=None, thread_id=None, assistant_id=None):
    user = SimpleNamespace(identity=identity) if identity else None
    return SimpleNamespace(
        context=context,
        server_info=SimpleNamespace(user=user, assistant_id=assistant_id),
        execution_info=SimpleNamespace(thread_id=thread_id),
    )


def configurable(**values):
    return {"configurable": values}


def test_the_first_source_that_says_something_wins():
    everything = runtime(Context("context"), identity="server")
    config = configurable(user_id="config")
    scope = Scope()
    assert scope.resolve(config, everything, user_id="argument") == ("memllm", "argument")
    assert scope.resolve(config, everything) == ("memllm", "context")
    assert scope.resolve(config, runtime({"user_id": "key"}, identity="server")) == ("memllm", "key")
    assert scope.resolve(config, runtime(Context(), identity="server")) == ("memllm", "config")
    assert scope.resolve(config) == ("memllm", "config")
    assert scope.resolve({}, runtime(identity="server")) == ("memllm", "server")


def test_thread_and_assistant():
    scope = Scope(("app", "{assistant_id}", "u-{user_id}", "{thread_id}"))
    assert scope.placeholders == ("assistant_id", "user_id", "thread_id")
    run = runtime(Context("ada"), thread_id="t1", assistant_id="helper")
    assert scope.resolve({}, run) == ("app", "helper", "u-ada", "t1")
    config = configurable(thread_id="t2", assistant_id="other", user_id="ada")
    assert scope.resolve(config) == ("app", "other", "u-ada", "t2")


@pytest.mark.parametrize(
    "user", ["ada@example.com", "a/b\\c", "🦊", "Ælfgifu", "1", "{user_id}", "{thread_id}", "%s", ".."]
)
def test_odd_labels_are_used_unchanged(user):
    assert Scope().for_user(user) == ("memllm", user)


def test_numbers_and_uuids_name_users():
    ident = uuid.UUID(int=7)
    assert Scope().for_user(42) == ("memllm", "42")
    assert Scope().for_user(ident) == ("memllm", str(ident))


def test_a_template_without_placeholder_is_one_namespace():
    scope = Scope(("team", "docs"))
    assert not scope.has_placeholder
    assert scope.resolve() == scope.resolve(configurable(user_id="ada")) == ("team", "docs")
    assert scope.principal(configurable(user_id="ada")) == "ada"
    assert scope.principal() is None


def test_a_run_without_user_gets_nobodys_memory():
    for config in (None, {}, configurable(), configurable(user_id=None)):
        with pytest.raises(NamespaceError, match=r"needs \{user_id\}.*user_id=….*context.*configurable"):
            Scope().resolve(config, runtime())
    with pytest.raises(NamespaceError, match="thread_id"):
        Scope(("memllm", "{user_id}", "{thread_id}")).for_user("ada")


@pytest.mark.parametrize("value", ["", "  ", True, 1.5, ["ada"], "a\x00b", "\ud800", "x" * 300])
def test_a_value_that_names_nobody(value):
    with pytest.raises(NamespaceError):
        Scope().resolve(configurable(user_id=value), runtime(identity="server"))


@pytest.mark.parametrize(
    "template",
    [("memllm", "{user}"), ("{user_id}{thread_id}",), ("a{",), ("}",), ("{}",), ("{user_id.x}",), (), "memllm"],
)
def test_bad_templates_are_refused_when_built(template):
    with pytest.raises(ConfigurationError):
        Scope(template)


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(str.strip)


@given(st.tuples(names, names), st.tuples(names, names))
def test_different_users_have_different_namespaces(one, other):
    scope = Scope(("p-{user_id}-s", "{thread_id}"))
    spaces = [scope.resolve(configurable(user_id=user, thread_id=thread)) for user, thread in (one, other)]
    assert (spaces[0] == spaces[1]) == (one == other)
