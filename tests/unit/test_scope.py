"""Who a run belongs to: the order of the sources, odd labels, and nothing at all."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph_sdk.auth.types import StudioUser

from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.scope import Scope, thread_of


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
    config = configurable(user_id="config")
    scope = Scope()
    assert scope.resolve(config, runtime(Context("context")), user_id="argument") == ("memllm", "argument")
    assert scope.resolve(config, runtime(Context("context"))) == ("memllm", "context")
    assert scope.resolve(config, runtime({"user_id": "key"})) == ("memllm", "key")
    assert scope.resolve(config, runtime(Context())) == ("memllm", "config")
    assert scope.resolve(config) == ("memllm", "config")
    assert scope.resolve({}, runtime(identity="server")) == ("memllm", "server")


SPOOFS = [
    (configurable(user_id="ada"), None, "configurable"),
    ({}, Context("ada"), "context"),
    ({}, {"user_id": "ada"}, "context"),
    (configurable(user_id="bob"), {"user_id": "ada"}, "context"),
    (configurable(user_id="ada"), {"user_id": "bob"}, "configurable"),
    (configurable(user_id="bob "), None, "configurable"),
    (configurable(user_id="Bob"), None, "configurable"),
]


@pytest.mark.parametrize(("config", "context", "where"), SPOOFS)
def test_whom_the_server_authenticated_is_the_user_and_nobody_else(config, context, where):
    """doors F1, redteam R6: a client's configurable and context named the user, over the authenticated identity."""
    run = runtime(context, identity="bob")
    for ask in (Scope().resolve, Scope().principal):
        with pytest.raises(NamespaceError, match=rf"{where} names the user 'ada'|authenticated 'bob'"):
            ask(config, run)
    assert Scope().resolve({"metadata": {"user_id": "ada"}}, runtime(identity="bob")) == ("memllm", "bob")
    assert Scope().resolve(configurable(user_id="bob"), runtime({"user_id": "bob"}, identity="bob")) == (
        "memllm",
        "bob",
    )
    assert Scope().resolve(config, run, user_id="eve") == ("memllm", "eve"), "the application's own argument"


def test_identity_run_lets_a_trusted_gateway_name_the_user():
    scope = Scope(identity="run")
    assert scope.resolve(configurable(user_id="ada"), runtime(identity="gateway")) == ("memllm", "ada")
    assert scope.resolve({}, runtime({"user_id": "ada"}, identity="gateway")) == ("memllm", "ada")
    assert scope.resolve({}, runtime(identity="gateway")) == ("memllm", "gateway")
    with pytest.raises(ConfigurationError, match="identity='client' is unknown; use one of server, run"):
        Scope(identity="client")


class Proxy:
    """What says of itself that it is a developer, as any user object of an application could."""

    kind = "StudioUser"
    identity = "bob"


def test_only_the_sdks_studio_user_may_name_another():
    def of(user):
        return SimpleNamespace(context=None, server_info=SimpleNamespace(user=user, assistant_id=None))

    config = configurable(user_id="ada")
    assert Scope().resolve(config, of(StudioUser("dev", is_authenticated=True))) == ("memllm", "ada")
    assert Scope().resolve({}, of(StudioUser("dev", is_authenticated=True))) == ("memllm", "dev")
    for user in (Proxy(), {"identity": "bob", "kind": "StudioUser"}):
        with pytest.raises(NamespaceError, match="authenticated 'bob'"):
            Scope().resolve(config, of(user))


@pytest.mark.parametrize(
    "user",
    [
        {"langgraph_auth_user": {"identity": "bob"}},
        {"langgraph_auth_user": SimpleNamespace(identity="bob")},
        {"langgraph_auth_user": SimpleNamespace(identity="bob"), "langgraph_auth_user_id": "bob"},
        {"langgraph_auth_user": None, "langgraph_auth_user_id": "bob"},
    ],
)
def test_the_identity_in_the_servers_own_config_counts_where_there_is_no_runtime(user):
    """doors F1, neighbour: the config carries the identity, and is all that a plain function of a run is given."""
    assert Scope().resolve(configurable(**user)) == ("memllm", "bob")
    with pytest.raises(NamespaceError, match="authenticated 'bob'"):
        Scope().resolve(configurable(user_id="ada", **user))
    with pytest.raises(NamespaceError, match="two users, 'bob' and 'eve'"):
        Scope().resolve(configurable(**user), runtime(identity="eve"))


def test_who_is_not_authenticated_is_nobody_and_who_has_no_identity_is_an_error():
    nobody = SimpleNamespace(identity="", is_authenticated=False)
    config = configurable(user_id="ada", langgraph_auth_user=nobody, langgraph_auth_user_id="")
    assert Scope().resolve(config) == ("memllm", "ada")
    for user in (SimpleNamespace(identity=""), SimpleNamespace(), {"display_name": "Bob"}):
        with pytest.raises(NamespaceError, match="without an identity"):
            Scope().resolve(configurable(user_id="ada", langgraph_auth_user=user))


def test_the_runtime_is_taken_from_the_config_if_it_is_not_handed_in():
    config = configurable(__pregel_runtime=runtime({"user_id": "ada"}, thread_id="t"))
    assert Scope(("{user_id}", "{thread_id}")).resolve(config) == ("ada", "t")
    assert Scope().principal(config) == "ada"


def test_thread_and_assistant():
    scope = Scope(("app", "{assistant_id}", "u-{user_id}", "{thread_id}"))
    assert scope.placeholders == ("assistant_id", "user_id", "thread_id")
    run = runtime(Context("ada"), thread_id="t1", assistant_id="helper")
    assert scope.resolve({}, run) == ("app", "helper", "u-ada", "t1")
    config = configurable(thread_id="t2", assistant_id="other", user_id="ada")
    assert scope.resolve(config) == ("app", "other", "u-ada", "t2")
    both = runtime({"assistant_id": "forged", "thread_id": "forged"}, thread_id="t1", assistant_id="helper")
    assert scope.resolve(config, both) == ("app", "helper", "u-ada", "t1")
    assert thread_of(config, both) == "t1"
    assert (thread_of(config), thread_of({}), thread_of(None)) == ("t2", "", "")


@pytest.mark.parametrize("user", ["kari ", " kari", "kari\n", "kari\u00a0", "\u200bkari", "kari\ufeff"])
def test_whitespace_around_a_user_is_refused_by_every_door(user):
    """bugs friction 2: "kari " was another person than "kari" without a word."""
    for config, server in ((configurable(user_id=user), None), ({}, user)):
        with pytest.raises(NamespaceError, match=r"has whitespace around it; give 'kari'"):
            Scope().resolve(config, runtime(identity=server))
    with pytest.raises(NamespaceError, match="has whitespace around it; give 'kari'"):
        Scope().for_user(user)


@pytest.mark.parametrize(
    ("template", "namespace", "user"),
    [
        (("memllm", "{user_id}"), ("memllm", "ada"), "ada"),
        (("memllm", "{user_id}"), ["memllm", "ada"], "ada"),
        (("memllm", "{user_id}"), ("memllm", "ada", "notes"), None),
        (("memllm", "{user_id}"), ("other", "ada"), None),
        (("u-{user_id}-x", "{thread_id}"), ("u-ada-x", "t"), "ada"),
        (("u-{user_id}-x",), ("u--x",), None),
        (("ab{user_id}ba",), ("aba",), None),
        (("{user_id}", "{user_id}"), ("ada", "bob"), None),
        (("team", "acme"), ("team", "acme"), None),
        (("memllm", "{user_id}"), [("memllm", "ada")], None),
    ],
)
def test_the_user_is_read_back_from_a_namespace(template, namespace, user):
    """bugs 3.20: the same memory by user_id and by namespace had two principals."""
    assert Scope(template).user_of(namespace) == user


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


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
    lambda name: name.strip() == name.strip("\u200b\u2060\ufeff") == name
)


@given(st.tuples(names, names), st.tuples(names, names))
def test_different_users_have_different_namespaces(one, other):
    scope = Scope(("p-{user_id}-s", "{thread_id}"))
    spaces = [scope.resolve(configurable(user_id=user, thread_id=thread)) for user, thread in (one, other)]
    assert (spaces[0] == spaces[1]) == (one == other)
    assert [scope.user_of(space) for space in spaces] == [one[0], other[0]]
