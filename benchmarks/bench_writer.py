"""Writing sentences together against one by one, on SmolLM2-135M, with the same outputs.

    python benchmarks/bench_writer.py [--adapter FOLDER] [--sentences 48] [--batch-size 32]

The sentences are of the synthetic world (new seed), each with its context. Goal: together >= 3 times as fast. Without
``--adapter`` the shipped one writes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks.measure import RESULTS, machine
from langchain_memllm.local import MemLLMModel, WriteOptions
from langchain_memllm.training.extracting import sampled, world_cases


def main() -> None:
    """Measure and print one line of JSON; keep it in ``results/writer.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--sentences", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=192)
    given = parser.parse_args()
    model = MemLLMModel.smollm2(adapters=True, **({"write_adapter": given.adapter} if given.adapter else {}))
    cases = sampled(world_cases("seen", 40, 9), given.sentences, 0)
    texts, contexts = [case["sentence"] for case in cases], [case["context"] for case in cases]
    model.write_calls(texts[:2], contexts[:2])  # the automaton is built, memory is there
    seconds, written = {}, {}
    for size in (given.batch_size, 1):
        started = time.perf_counter()
        outputs = model.write_calls(texts, contexts, options=WriteOptions(batch_size=size, max_tokens=given.max_tokens))
        seconds[size] = time.perf_counter() - started
        written[size] = [output.text for output in outputs]
    same = sum(a == b for a, b in zip(written[given.batch_size], written[1], strict=True))
    figures = {
        "sentences": len(texts),
        "batch_size": given.batch_size,
        "one_by_one_s": round(seconds[1], 1),
        "together_s": round(seconds[given.batch_size], 1),
        "ratio": round(seconds[1] / seconds[given.batch_size], 2),
        "same_output": same,
        "adapter": given.adapter.name if given.adapter else "shipped",
    }
    print(json.dumps(figures))
    (RESULTS / "writer.json").write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
