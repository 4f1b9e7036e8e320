"""The preloaded shim of the checks of faults: built from ``faults.c`` when it is needed, used in a process of its own.

``main`` runs there, with a check's module, a folder, the scale, the seed and the sabotage; its counts come as JSON.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from langchain_memllm.verify.ledger import Counts

__all__ = ["arm", "is_possible", "log_to", "operations", "run_with", "watch"]

_LIBRARY = "MEMLLM_VERIFY_SHIM"


def is_possible() -> bool:
    """Whether it can be built here: Linux with gcc."""
    return sys.platform == "linux" and shutil.which("gcc") is not None


def run_with(module: str, folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """What ``inside`` of a check counts, in a process that has the shim."""
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: S603, S607 - ours
    environment = {**os.environ, "LD_PRELOAD": str(library), _LIBRARY: str(library), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(dir=_quick_folder()) as work:
        start = f"from {__name__} import main; main()"
        command = [sys.executable, "-c", start, module, work, str(scale), str(seed), str(int(sabotage))]
        environment["TMPDIR"] = work
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    counts = Counts()
    for name, value in json.loads(done.stdout.splitlines()[-1]).items():
        setattr(counts, name, value)
    return counts


def _quick_folder() -> str | None:
    """A folder in memory: what is played does not wait for the disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(os.environ[_LIBRARY])


def watch(folder: Path) -> None:
    """Count what is done to the files of this folder."""
    _library().shim_watch(os.fsencode(folder))


def log_to(path: Path) -> None:
    """Note all of it in a file."""
    _library().shim_log(os.fsencode(path))


def arm(after: int, error: int) -> None:
    """Let the operation after so many fail once with this error."""
    _library().shim_arm(ctypes.c_long(after), error)


def operations() -> int:
    """How many there were since the shim was armed."""
    return int(_library().shim_count())


def main() -> None:
    """Run the inside of a check."""
    logging.getLogger().addHandler(logging.NullHandler())  # what is asked for here is expected
    module, folder, scale, seed, sabotage = sys.argv[1:]
    inside = importlib.import_module(module).inside
    counts = inside(Path(folder), scale=int(scale), seed=int(seed), sabotage=sabotage == "1")
    print(json.dumps(asdict(counts)))  # noqa: T201 - to the process that started this one
