"""``python -m benchmarks``: every benchmark that needs nothing but this checkout, one after the other.

    python -m benchmarks [--quick] [--data PATH]

``--data`` names a folder with the data sets of the name index benchmark (see ``bench_nameindex``); without it that one
is left out and said so. Run it with nothing else on the machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

EVERYDAY = Path(__file__).parent / "recall"


def main() -> None:
    """Run each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest size of each")
    parser.add_argument("--data", help="folder of the data sets for the name index benchmark")
    arguments = parser.parse_args()
    runs = [
        ["benchmarks.bench_turn"],
        ["langchain_memllm", "bench", "recall", "--everyday", str(EVERYDAY)],
        ["benchmarks.bench_embedded", *(["10000"] if arguments.quick else [])],
        ["benchmarks.bench_neo4j", *(["10000"] if arguments.quick else [])],
        ["benchmarks.bench_reader", *(["--rounds", "2"] if arguments.quick else [])],
    ]
    if arguments.data:
        runs.append(["benchmarks.bench_nameindex", "--data", arguments.data])
    else:
        print("not run: benchmarks.bench_nameindex (give --data PATH)")
    failed = [run[0] for run in runs if subprocess.run([sys.executable, "-m", *run], check=False).returncode]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
