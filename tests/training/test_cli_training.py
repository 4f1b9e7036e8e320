"""``memllm data`` and ``memllm train`` as one calls them: in one process, killed, and with two processes."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from safetensors.torch import load_file
from tiny_model import tiny
from training.documents_fixture import CURIE
from typer.testing import CliRunner

from langchain_memllm.cli import app
from langchain_memllm.local.manifest import read_manifest
from langchain_memllm.training.checkpoint import CHECKPOINT

SMALL = [
    "--rank",
    "4",
    "--batch-size",
    "4",
    "--learning-rate",
    "0.01",
    "--dropout",
    "0",
    "--window",
    "512",
    "--device",
    "cpu",
]


def memllm(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Training data made by the command, and a base model."""
    folder = tmp_path_factory.mktemp("training")
    file = folder / "docs.json.gz"
    file.write_bytes(gzip.compress(json.dumps([{**CURIE, "title": f"d{n}"} for n in range(5)]).encode()))
    done = memllm("data", "--out", folder / "data", "--redocred", file, "--train-documents", "4", "--articles", "4")
    assert done.exit_code == 0, done.output
    assert "to write: 4 redocred, 4 redocred swapped" in done.output
    model = tiny()
    model.model.save_pretrained(folder / "base")
    model.tokenizer.save_pretrained(folder / "base")
    return folder


@pytest.mark.parametrize("role", ["write", "read", "control"])
def test_data_and_training_by_two_commands(built, tmp_path, role):
    done = memllm(
        "train", role, "--base", built / "base", "--data", built / "data", "--out", tmp_path, "--steps", 2, *SMALL
    )
    assert done.exit_code == 0, done.output
    assert "2 steps, loss" in done.output
    assert "step 2/2 loss" in done.output
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest["data"][0]["file"] == ("write.jsonl" if role == "write" else "read.jsonl")
    assert manifest["options"]["rank"] == 4


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["train", "write", "--data", "nowhere"], 2, "no training file"),
        (["train", "write", "--data", "DATA", "--rank", "-1"], 2, "at least 0"),
        (["train", "write", "--data", "DATA", "--base", "nowhere"], 4, "is not a folder"),
        (["data", "--articles", "0"], 2, "nothing to build from"),
        (["data", "--redocred", "nowhere"], 2, "cannot be read as JSON"),
    ],
)
def test_mistakes_are_one_line(built, tmp_path, arguments, status, says):
    given = [str(built / "data") if part == "DATA" else part for part in arguments]
    if given[0] == "train" and "--base" not in given:
        given += ["--base", str(built / "base")]
    done = memllm(*given, "--out", tmp_path)
    assert done.exit_code == status, done.output
    assert says in " ".join(done.output.split())


def command(built: Path, out: Path, *more: str) -> list[str]:
    arguments = ["--base", str(built / "base"), "--data", str(built / "data"), "--out", str(out), *SMALL]
    return [sys.executable, "-m", "langchain_memllm.cli", "train", "write", *arguments, "--epochs", "40", *more]


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_a_checkpoint_to_go_on_from(built, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    more = ("--steps", "40", "--checkpoint-seconds", "0")
    subprocess.run(command(built, whole, *more), check=True, capture_output=True)
    running = subprocess.Popen(command(built, killed, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (killed / CHECKPOINT).exists() and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert (killed / CHECKPOINT).exists()
    done = subprocess.run(command(built, killed, *more), check=True, capture_output=True, text=True)
    assert "40 steps" in done.stdout
    for name in ("adapter_model.safetensors", "memllm.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(file.name for file in killed.iterdir()) == sorted(file.name for file in whole.iterdir())


@pytest.mark.slow
def test_two_processes_learn_what_one_does(built, tmp_path):
    more = ("--steps", "1", "--batch-size", "8", "--batch-tokens", "64", "--window", "256")
    subprocess.run(command(built, tmp_path / "one", *more), check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    running = [
        subprocess.Popen(
            command(built, tmp_path / "two", *more),
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    results = [(read_manifest(tmp_path / name) or {})["result"] for name in ("one", "two")]
    assert results[0]["learnt_tokens"] == results[1]["learnt_tokens"]
    assert results[0]["first_loss"] == pytest.approx(results[1]["first_loss"], abs=1e-3)
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    moved = torch.cat([one[name].flatten() for name in one if "lora_B" in name]).float()  # each by its gradient's sign
    same = torch.cat([two[name].flatten() for name in one if "lora_B" in name]).float()
    assert moved.abs().median() > 1e-3
    assert (moved.sub(same).abs() < 1e-4).float().mean() > 0.97


def test_the_mean_of_an_adapter_and_what_became_of_it(built, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    given = ["train", "write", "--base", built / "base", "--data", built / "data", "--steps", 1, *SMALL]
    assert memllm(*given, "--out", first).exit_code == 0
    assert memllm(*given, "--out", second, "--from", first).exit_code == 0
    done = memllm("train", "average", first, second, "--out", tmp_path / "mean")
    assert done.exit_code == 0, done.output
    assert read_manifest(tmp_path / "mean")["start"] == read_manifest(second)["start"]
    scaled = memllm("train", "scale", first, "--share", 0.9, "--out", tmp_path / "part")
    assert scaled.exit_code == 0, scaled.output
    assert read_manifest(tmp_path / "part")["scaled"] == 0.9
    again = memllm("train", "average", first, second, "--out", tmp_path / "mean")
    assert again.exit_code == 2
    assert "holds a finished training" in " ".join(again.output.split())
