"""A file of before, brought to the present names and relations when it is opened: time and memory.

    python -m benchmarks.bench_migration [10000 100000 1000000] [--folder DIR]

A file of the workload is written by the present code and then made older: every tenth name gets a second spelling with
a period at the end that has half of its facts, and the four most frequent relations get the labels employer, works for,
residence and lives in. "nothing to join" is the same file without the second spellings and labels. Each is brought to
the present rules by a process of its own, as opening it would: in one durable transaction.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, report
from benchmarks.workload import Workload
from langchain_memllm.memory import Memory

NS = ("bench",)
BATCH = 4_000
LABELS = ("employer", "works for", "residence", "lives in")

REKEY = """
import json, re, sys, time
from pathlib import Path
from langchain_memllm.stores.embedded_rekey import rekey
from langchain_memllm.stores.sqlite import Database

def memory(what):  # the process's own; resource.getrusage counts that of the one that started it, too
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024

database = Database(sys.argv[1])
before, start = memory("VmRSS"), time.perf_counter()
with database.write() as connection:
    rekey(connection)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "peak_mb": memory("VmHWM"), "more_mb": memory("VmHWM") - before}))
"""

# One file made older; the names that get a second spelling, and their facts, are chosen by id.
AGE = "UPDATE name SET loose = NULL;"
SPLIT = """
INSERT INTO name(id, ns, key, spelling, rank, class, vector)
    SELECT id + (SELECT max(id) FROM name), ns, key || '.', spelling || '.', rank, class, vector FROM name
    WHERE id % 10 = 0;
INSERT INTO name_vector SELECT n.id, v.vector FROM name n JOIN name o ON o.ns = n.ns AND n.key = o.key || '.'
    JOIN name_vector v ON v.id = o.id;
INSERT INTO name_code(ns, id, code) SELECT n.ns, n.id, c.code FROM name n JOIN name o ON o.ns = n.ns
    AND n.key = o.key || '.' JOIN name_code c ON c.id = o.id;
CREATE TEMP TABLE twin AS SELECT o.id AS old, n.id AS new FROM name n JOIN name o ON o.ns = n.ns
    AND n.key = o.key || '.';
CREATE UNIQUE INDEX temp.twin_old ON twin(old);
UPDATE fact SET s = (SELECT new FROM twin WHERE old = s) WHERE id % 2 = 0 AND s IN (SELECT old FROM twin);
UPDATE fact SET o = (SELECT new FROM twin WHERE old = o) WHERE id % 2 = 0 AND o IN (SELECT old FROM twin);
"""


def written(path: Path, triples: int) -> None:
    """A file with so many facts."""
    with Memory(path) as memory:
        for batch in Workload(triples).batches(BATCH):
            memory.write(batch, namespace=NS)


def aged(path: Path, *, split: bool) -> None:
    """Make the file one of before."""
    connection = sqlite3.connect(path)
    connection.executescript(AGE + (SPLIT if split else ""))
    if split:
        order = "SELECT r FROM fact GROUP BY r ORDER BY count(*) DESC LIMIT ?"
        frequent = [row[0] for row in connection.execute(order, (len(LABELS),))]
        connection.executemany(
            "UPDATE relation SET key = ?, label = ? WHERE id = ?",
            [(label, label, relation) for label, relation in zip(LABELS, frequent, strict=True)],
        )
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def rekeyed(path: Path) -> dict[str, float]:
    """Seconds that it takes, the most memory of the process, and how much more that is than before."""
    done = subprocess.run([sys.executable, "-c", REKEY, str(path)], check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def counts(path: Path) -> tuple[int, int]:
    """Open facts, and facts that gave way to an equal one."""
    with sqlite3.connect(path) as connection:
        row: tuple[int, int] = connection.execute(
            "SELECT sum(open), coalesce(sum(closed_why = 'replaced'), 0) FROM fact"
        ).fetchone()
    connection.close()
    return row


def measured(folder: Path, triples: int) -> list[dict[str, Any]]:
    """A row for each of the two files."""
    source = folder / f"{triples}.db"
    written(source, triples)
    rows = []
    for split in (False, True):
        path = folder / "aged.db"
        shutil.copyfile(source, path)
        aged(path, split=split)
        size = path.stat().st_size
        figures = rekeyed(path)
        again = rekeyed(path)["seconds"]
        standing, replaced = counts(path)
        rows.append(
            {
                "facts": triples,
                "file": "a tenth of the names in two spellings" if split else "nothing to join",
                "file_mb": round(size / 2**20),
                "seconds": round(figures["seconds"], 2),
                "peak_mb": round(figures["peak_mb"]),
                "more_mb": round(figures["more_mb"]),
                "again_s": round(again, 2),
                "open_facts": standing,
                "gave_way": replaced,
            }
        )
        for old in folder.glob("aged.db*"):
            old.unlink()
    source.unlink()
    return rows


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where the files are made; a temporary folder by default")
    parser.add_argument("--json-out", type=Path, help="instead of benchmarks/results/migration.json")
    arguments = parser.parse_args()
    host = machine()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = [row for size in arguments.sizes for row in measured(Path(folder), size)]
    report("migration", "A file of before, brought to the present names and relations", rows, host, arguments.json_out)


if __name__ == "__main__":
    main()
