"""The reliability acceptance list: what a memory promises, checked from outside.

    python -m langchain_memllm.verify --quick
    python -m langchain_memllm.verify --quick --neo4j

Each check compares a ledger of its own with what the file or the server holds, read with plain SQL or the bare driver,
and counts what is lost, duplicated, wrong or torn. With ``--neo4j`` a local server is started, killed, paused and cut
off. A check that did not run is reported as *not run*, never as passed, and each has a sabotage
that must turn it red (``--prove-red``): a check that was never red proves nothing.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify import (
    a01_files,
    a01_hub,
    a01_kill,
    a01_outbox,
    a02_power,
    a03_operations,
    a04_full,
    a05_writers,
    a06_replay,
    a07_model,
    a08_faults,
    a09_clients,
    a09_network,
    a09_readers,
    a09_server,
    a10_items,
    a11_scripts,
    a12_malformed,
    a13_fuzz,
    a14_receipts,
    a15_cancel,
    a16_files,
    a17_limits,
    a17_roles,
    a17_tenants,
    a18_statements,
    a19_poison,
    a20_block,
    a21_rows,
    a22_models,
    a23_secrets,
    a24_paths,
    a25_sizes,
    a26_tls,
    a27_erasure,
    a28_static,
    a30_long,
    shim,
)
from langchain_memllm.verify.ledger import Counts

__all__ = ["CHECKS", "Check", "Outcome", "run_checks"]

Run = Callable[..., Counts]


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the list. ``quick`` is its scale in the quick run, ``soak`` in the long one.

    A check that ``needs_server`` gets a local Neo4j server as ``server``; one that ``needs_gcc`` builds a shim of ours;
    one with ``packages`` uses some that this package does not require.
    """

    id: str
    title: str
    run: Run
    quick: int
    soak: int = 0
    unit: str = ""
    needs_server: bool = False
    needs_gcc: bool = False
    packages: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether its scale only bounds a list of cases, which no share shortens: the last may be the telling ones."""
        return self.unit.endswith("at most")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a check: ``pass``, ``fail`` or ``not run``."""

    check: Check
    result: str
    summary: str = ""
    seconds: float = 0.0


CHECKS: Final[tuple[Check, ...]] = (
    Check("A01", "kill -9, two writers", a01_kill.run, 120, 2_000, "kills"),
    Check("A01.files", "kill -9 of restoring, importing, migrating", a01_files.run, 49, 2_000, "kills"),
    Check("A01.outbox", "kill -9 of agents: what was said", a01_outbox.run, 30, 300, "kills"),
    Check("A01.hub", "kill -9 of agents: every word, roles, forgetting", a01_hub.run, 30, 300, "kills"),
    Check("A02", "power cut, simulated", a02_power.run, 300, 5_000, "cuts", needs_gcc=True),
    Check(
        "A03",
        "each file operation fails in turn",
        a03_operations.run,
        60,
        5_000,
        "runs at most",
        needs_gcc=True,
    ),
    Check("A04", "disk full, three ways", a04_full.run, 3, 60, "disks at most"),
    Check("A05", "eight writer processes and readers", a05_writers.run, 2_000, 100_000, "messages"),
    Check("A06", "replay and duplicate delivery", a06_replay.run, 300, 20_000, "operations"),
    Check("A07", "stateful model, sync and async", a07_model.run, 9_000, 1_000_000, "steps"),
    Check("A08", "played Neo4j server, a fault at every message", a08_faults.run, 200, 200, "cases at most"),
    Check("A09.T5", "Neo4j: clients are killed", a09_clients.run, 20, 300, "kills", needs_server=True),
    Check("A09.T6", "Neo4j: server killed, paused, restarted", a09_server.run, 3, 10, "kills", needs_server=True),
    Check("A09.T7", "Neo4j: network faults", a09_network.run, 200, 2_000, "faults", needs_server=True),
    Check("A09.T8", "Neo4j: six writers and readers", a09_readers.run, 300, 10_000, "operations", needs_server=True),
    Check("A09.outbox", "Neo4j: kill -9 of agents: what was said", a01_outbox.run, 12, 300, "kills", needs_server=True),
    Check("A09.hub", "Neo4j: kill -9 of agents: every word", a01_hub.run, 12, 300, "kills", needs_server=True),
    Check("A10", "LangGraph's store beside its reference", a10_items.run, 25, 2_000, "scripts"),
    Check("A10.neo4j", "Neo4j: the same", a10_items.run, 5, 200, "scripts", needs_server=True),
    Check("A11", "two stores, the same scripts", a11_scripts.run, 12, 500, "scripts", needs_server=True),
    Check("A12", "malformed model output", a12_malformed.run, 10_000, 10_000, "replies at most"),
    Check("A13", "fuzzed parsers", a13_fuzz.run, 8, 3_000, "tenths of a second a parser"),
    Check("A14", "receipts under faults: every triple", a14_receipts.run, 2_400, 100_000, "triples", needs_gcc=True),
    Check("A15", "cancellation, interrupts, threads, forks", a15_cancel.run, 60, 4_000, "operations a way"),
    Check("A16", "clocks, damaged and mixed-up files", a16_files.run, 72, 2_000, "files at most"),
    Check("A17", "tenants with the same names", a17_tenants.run, 10_000, 200_000, "operations"),
    Check("A17.neo4j", "Neo4j: the same", a17_tenants.run, 1_000, 200_000, "operations", needs_server=True),
    Check("A17.roles", "roles: what was said in other scopes", a17_roles.run, 20, 5_000, "questions"),
    Check("A17.roles.neo4j", "Neo4j: the same", a17_roles.run, 10, 1_000, "questions", needs_server=True),
    Check("A17.limits", "a full memory, its processes and another's", a17_limits.run, 60, 3_000, "statements"),
    Check("A17.limits.neo4j", "Neo4j: the same", a17_limits.run, 20, 1_000, "statements", needs_server=True),
    Check("A18", "Neo4j: query injection", a18_statements.run, 32, 1_000, "texts", needs_server=True),
    Check("A19", "poisoning, eleven families of attacks", a19_poison.run, 500, 5_000, "benign updates"),
    Check("A19.neo4j", "Neo4j: the same", a19_poison.run, 500, 500, "benign updates", needs_server=True),
    Check("A20", "the block: hostile names, and said again", a20_block.run, 50, 500, "sessions"),
    Check("A21", "hostile rows", a21_rows.run, 4, 10, "values a column"),
    Check(
        "A22",
        "hostile model folders",
        a22_models.run,
        200,
        200,
        "folders at most",
        packages=("torch", "transformers", "peft"),
    ),
    Check("A23", "canary secrets and facts in logs", a23_secrets.run, 1, 1, "pass over all"),
    Check("A24", "paths and file modes", a24_paths.run, 1, 1, "pass over all"),
    Check("A25", "twice the input, twice the time", a25_sizes.run, 131_072, 1_048_576, "characters"),
    Check(
        "A26", "TLS: addresses and certificates", a26_tls.run, 42, 42, "addresses at most", packages=("cryptography",)
    ),
    Check("A27", "bounded reads, erasure with byte search", a27_erasure.run, 200, 2_000, "canaries"),
    Check("A27.neo4j", "Neo4j: erasure", a27_erasure.run, 48, 480, "canaries", needs_server=True),
    Check("A28", "static gates", a28_static.run, 1, 1, "pass over the source"),
    Check("A30", "long open beside writers that are killed", a30_long.run, 10, 3_600, "seconds"),
)


def run_checks(
    checks: Sequence[Check] = CHECKS,
    *,
    soak: bool = False,
    seed: int = 1,
    sabotage: bool = False,
    share: float = 1.0,
    server: LocalServer | None = None,
) -> Iterator[Outcome]:
    """Run the checks one after the other.

    Args:
        checks: Which.
        soak: The long scale instead of the quick one.
        seed: Of all random choices.
        sabotage: Break the memory in the way that each check must notice.
        share: Part of the scale to run; lists of cases are always run to their end.
        server: For the checks that need one; it will be killed and paused, and its data are of no use afterwards.
    """
    for check in checks:
        if check.needs_server and server is None:
            yield Outcome(check, "not run", "needs a server: --neo4j")
            continue
        if check.needs_gcc and not shim.is_possible():
            yield Outcome(check, "not run", "needs gcc, on Linux")
            continue
        if missing := [name for name in check.packages if importlib.util.find_spec(name) is None]:
            yield Outcome(check, "not run", f"needs packages: pip install {' '.join(missing)}")
            continue
        options = {"server": server} if check.needs_server else {}
        part = 1.0 if check.whole else share
        scale = max(1, int((check.soak if soak else check.quick) * part))
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=f"memllm-{check.id}-") as folder:
            counts = check.run(Path(folder), scale=scale, seed=seed, sabotage=sabotage, **options)
        yield Outcome(check, "pass" if counts.passed else "fail", counts.summary(), time.perf_counter() - start)
