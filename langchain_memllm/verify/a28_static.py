"""A28: what the package's own source must not contain: unsafe loading, shells, slow patterns, built queries.

Only the source is looked at; nothing is imported or run. Known advisories are not asked for: that needs the network.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from langchain_memllm.verify.ledger import Counts

__all__ = ["findings", "run"]

UNSAFE_MODULES: Final = (
    *("pickle", "cPickle", "cloudpickle", "dill", "jsonpickle", "marshal", "shelve", "joblib", "yaml"),
    *("langchain_core.load", "xml", "telnetlib", "ftplib", "cgi"),
)
"""Loading with them can run code that the data name."""
NETWORK_MODULES: Final = ("socket", "http", "urllib.request", "requests", "httpx", "aiohttp", "smtplib", "ssl")
TALKS: Final = ("stores/server.py", "stores/browser.py", "verify/")
"""What may speak to the network: a local server of Neo4j, the guide for its Browser, and the checks. The driver and the
model's client do it for themselves, at addresses that an application gave."""
UNSAFE_CALLS: Final = (
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "tempfile.mktemp"),
    *("np.load", "numpy.load", "builtins.eval", "builtins.exec"),
)
RUNNERS: Final = ("execute", "executemany", "executescript", "execute_query", "run")
"""Methods that take a statement."""
PUT_TOGETHER: Final = ("stores/embedded", "stores/sqlite", "verify/")
"""Where SQL is put together from literals and ``?`` alone; the texts of Cypher are constants (A18)."""
PATTERNS: Final = ("compile", "search", "match", "fullmatch", "sub", "subn", "findall", "finditer", "split")
SABOTAGE: Final = """
import pickle, httpx, re, subprocess, torch
def f(connection, text, model):
    eval(text)
    pickle.loads(text)
    torch.load(text)
    subprocess.run(text, shell=True)
    connection.execute(f"SELECT {text}")
    re.search(r"(a+)+$", text)
    AutoModel.from_pretrained(text)
"""


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """All modules of the package; sabotage adds one that does what none may."""
    counts = Counts()
    package = Path(__file__).parents[1]
    sources = {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    if sabotage:
        sources["sabotage.py"] = SABOTAGE
    counts.problems = list(findings(sources))
    counts.figures = {"modules": len(sources), "lines": sum(text.count("\n") for text in sources.values())}
    return counts


def findings(sources: Mapping[str, str]) -> Iterator[str]:
    """What is found in source texts, by their path below the package."""
    for path, text in sorted(sources.items()):
        for node in ast.walk(ast.parse(text)):
            for problem in _of_node(path, node):
                yield f"{path}:{getattr(node, 'lineno', 0)}: {problem}"


def _of_node(path: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        yield from (f"imports {name}" for name in names if _is_one_of(name, UNSAFE_MODULES))
        if not path.startswith(TALKS):
            yield from (f"imports {name}, which talks" for name in names if _is_one_of(name, NETWORK_MODULES))
    elif isinstance(node, ast.Call):
        yield from _of_call(path, node)


def _of_call(path: str, node: ast.Call) -> Iterator[str]:
    called, first = ast.unparse(node.func), node.args[0] if node.args else None
    keywords = {each.arg: each.value for each in node.keywords}
    if called in UNSAFE_CALLS:
        yield f"calls {called}"
    if "shell" in keywords and ast.unparse(keywords["shell"]) != "False":
        yield f"{called} takes a shell"
    if called.startswith("Auto") and called.endswith(".from_pretrained"):
        trusted = keywords.get("trust_remote_code")
        if trusted is None or ast.unparse(trusted) != "False":
            yield f"{called} without trust_remote_code=False"
    method = called.rpartition(".")[2]
    if method in RUNNERS and isinstance(first, ast.JoinedStr | ast.BinOp) and not path.startswith(PUT_TOGETHER):
        yield f"{called} of a text that is put together"
    if called.rpartition(".")[0] == "re" and method in PATTERNS and isinstance(first, ast.Constant):
        yield from _of_pattern(first.value)


def _of_pattern(pattern: Any) -> Iterator[str]:
    """A repetition in a repetition, both without a bound, may take time that doubles with each character."""
    if isinstance(pattern, str | bytes) and _nested(_parser().parse(pattern), within=False):
        yield f"the pattern {pattern!r} repeats a repetition"


def _nested(parsed: Any, *, within: bool) -> bool:
    for operator, argument in parsed:
        name = str(operator)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            _, most, inner = argument
            endless = most == _parser().MAXREPEAT
            around = within or (endless and not _begins_with_a_sign(inner))
            if (endless and within) or _nested(inner, within=around):
                return True
        elif name not in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP") and _nested_in(argument, within=within):
            return True
    return False


def _begins_with_a_sign(parsed: Any) -> bool:
    """Whether each round begins with a character of its own, as in ``(?:, a+)*``: there is one way to match it."""
    while len(parsed) and str(parsed[0][0]) == "SUBPATTERN":
        parsed = parsed[0][1][-1]
    first, argument = parsed[0] if len(parsed) else ("", ())
    return str(first) == "LITERAL" or (str(first) == "IN" and all(str(each) == "LITERAL" for each, _ in argument))


def _nested_in(argument: Any, *, within: bool) -> bool:
    """Look through groups, branches and look-arounds."""
    if isinstance(argument, _parser().SubPattern):
        return _nested(argument, within=within)
    return isinstance(argument, list | tuple) and any(_nested_in(each, within=within) for each in argument)


def _parser() -> Any:
    """How ``re`` reads a pattern; it has no public name."""
    return importlib.import_module("re._parser")


def _is_one_of(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
