"""Training a tiny random model: steps, resuming, interruptions, bad input, what is saved and what is refused."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from safetensors.torch import load_file, save_file
from tiny_model import tiny

from langchain_memllm.errors import ConfigurationError, ModelError
from langchain_memllm.local import MemLLMModel
from langchain_memllm.local.manifest import MANIFEST, fingerprint, read_manifest, sha256
from langchain_memllm.training.checkpoint import CHECKPOINT
from langchain_memllm.training.examples import ReadDocument, WriteDocument, save
from langchain_memllm.training.finetune import Progress, finetune
from langchain_memllm.training.options import Options
from langchain_memllm.training.publish import average, scale
from langchain_memllm.triples import Query, Triple

NAMES = ["Ada", "Bo", "Cy", "Di", "Ed", "Flo"]
PLACES = ["Oslo", "Rome", "Bern", "Lund", "Paris", "Riga"]
SMALL = {"batch_size": 4, "learning_rate": 1e-2, "rank": 4, "batch_tokens": 256, "window": 256, "checkpoint_seconds": 0}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = tiny()
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("data") / "all.jsonl"
    born = [(name, place, Query(name, "place of birth")) for name, place in zip(NAMES, PLACES, strict=True)]
    save(
        [
            *(
                WriteDocument(n, (f"{n} was born in {p}.", "Hm."), ((Triple(n, "place of birth", p),), ()))
                for n, p, _ in born
            ),
            *(ReadDocument(n, (f"{n} was born in", f" {p}."), (((query,), (p,)),)) for n, p, query in born),
        ],
        file,
    )
    return file


def train(base: Path, data: Path, out: Path, report=lambda _p: None, **options):
    given = {name: options.pop(name, None) for name in ("start", "teacher")}
    chosen = Options(**{"role": "write", "steps": 3, **SMALL, **options})
    return finetune(base, [data], out, chosen, **given, device="cpu", report=report)


@pytest.mark.parametrize("role", ["write", "read", "control"])
def test_three_steps_make_an_adapter_that_is_loaded_and_changes_the_model(base, data, tmp_path, role):
    seen: list[Progress] = []
    result = train(base, data, tmp_path, seen.append, role=role)
    assert (result.finished, result.steps) == (True, 3)
    assert [progress.step for progress in seen] == [1, 2, 3]
    assert seen[-1].left == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        MANIFEST,
    ]
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest["role"] == role
    assert manifest["data"] == [{"file": "all.jsonl", "sha256": sha256(data)}]
    assert str(base.parent) not in "".join(file.read_text(errors="replace") for file in tmp_path.iterdir())
    adapters = {"write_adapter" if role == "write" else "read_adapter": tmp_path}
    tuned, plain = (
        MemLLMModel.from_pretrained(base, **adapters, device="cpu"),
        MemLLMModel.from_pretrained(base, device="cpu"),
    )
    with tuned.role("write" if role == "write" else "read") as decoder:
        ids = torch.tensor([[5, 6, 7]])
        assert not torch.equal(decoder.model(input_ids=ids).logits, plain.model(input_ids=ids).logits)


def test_the_loss_falls(base, data, tmp_path):
    result = train(base, data, tmp_path, steps=30, epochs=30)
    assert result.last_loss < 0.8 * result.first_loss


class Killed(Exception):
    """Stands for the end of the process: nothing runs after it."""


def killed_after(step: int):
    def report(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return report


@pytest.mark.parametrize("options", [{}, {"role": "read", "dropout": 0.5}, {"rank": 0, "learning_rate": 1e-3}])
def test_a_killed_training_goes_on_to_the_same_weights(base, data, tmp_path, options):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(base, data, whole, steps=6, epochs=5, **options)
    with pytest.raises(Killed):
        train(base, data, broken, killed_after(4), steps=6, epochs=5, **options)
    assert [file.name for file in broken.iterdir()] == [CHECKPOINT]  # of step 3
    seen: list[Progress] = []
    train(base, data, broken, seen.append, steps=6, epochs=5, **options)
    assert [progress.step for progress in seen] == [4, 5, 6]
    for file in whole.iterdir():
        assert (broken / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_reader_learns_from_a_teacher_and_goes_on_to_the_same_weights(base, data, control, tmp_path):
    whole, broken, without = (tmp_path / name for name in ("whole", "broken", "without"))
    options = {"role": "read", "steps": 4, "epochs": 5}
    train(base, data, whole, teacher=control, **options)
    with pytest.raises(Killed):
        train(base, data, broken, killed_after(3), teacher=control, **options)
    with pytest.raises(ConfigurationError, match="teacher is another"):
        train(base, data, broken, **options)
    train(base, data, broken, teacher=control, **options)
    for file in whole.iterdir():
        assert (broken / file.name).read_bytes() == file.read_bytes(), file.name
    train(base, data, without, **options)
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (whole, without))
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert read_manifest(whole)["teacher"] == sha256(control / "adapter_model.safetensors")
    average(whole, without, tmp_path / "mean")


def test_what_teaches_is_a_control_and_what_it_teaches_a_reader(base, data, writer, control, tmp_path):
    with pytest.raises(ConfigurationError, match="a teacher is for a reader, not to write"):
        train(base, data, tmp_path / "a", teacher=control)
    with pytest.raises(ModelError, match="was trained to write, not to control"):
        train(base, data, tmp_path / "b", role="read", teacher=writer)
    with pytest.raises(ModelError, match=r"the teacher .* is not a folder"):
        train(base, data, tmp_path / "c", role="read", teacher=tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"the adapter to begin with .* is not a folder"):
        train(base, data, tmp_path / "d", role="read", start=tmp_path / "nowhere")


def test_ctrl_c_ends_after_the_step_and_the_command_goes_on(base, data, tmp_path):
    def interrupt(progress: Progress) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    first = train(base, data, tmp_path, interrupt, checkpoint_seconds=1000)
    assert (first.finished, first.steps) == (False, 2)
    assert [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert train(base, data, tmp_path, checkpoint_seconds=1000).finished
    with pytest.raises(ConfigurationError, match="holds a finished training"):
        train(base, data, tmp_path, checkpoint_seconds=1000)


def test_minutes_end_it(base, data, tmp_path):
    result = train(base, data, tmp_path, steps=None, epochs=1000, minutes=1e-4)
    assert result.finished
    assert 1 <= result.steps < 100


def test_a_checkpoint_of_another_training_is_refused(base, data, tmp_path):
    with pytest.raises(Killed):
        train(base, data, tmp_path, killed_after(2))
    with pytest.raises(ConfigurationError, match=r"seed was 0 and is 1"):
        train(base, data, tmp_path, seed=1)
    (tmp_path / CHECKPOINT).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="remove it to start anew"):
        train(base, data, tmp_path)


def test_a_loss_that_is_no_number_ends_it(base, data, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    model = tiny().model
    with torch.no_grad():
        model.model.norm.weight.fill_(float("inf"))
    model.save_pretrained(broken)
    with pytest.raises(ModelError, match=r"the loss is (nan|inf) at step 1.*--learning-rate"):
        train(broken, data, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_the_checkpoint_before(base, data, tmp_path):
    """A limit on the size of files stands for the full disk: writes fail the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept: list[str] = []

    def fill(progress: Progress) -> None:
        if progress.step == 2:
            kept.append(sha256(tmp_path / CHECKPOINT))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))

    try:
        with pytest.raises(ModelError, match=r"checkpoint of step 2 cannot be written.*free space"):
            train(base, data, tmp_path, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]
    assert sha256(tmp_path / CHECKPOINT) == kept[0]
    assert train(base, data, tmp_path).steps == 3


def test_a_full_disk_at_the_end_leaves_the_checkpoint(base, data, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress: Progress) -> None:
        if progress.step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))

    try:
        with pytest.raises(ModelError, match=r"cannot be (saved|written).*free space"):
            train(base, data, tmp_path, fill, checkpoint_seconds=1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "adapter_model.safetensors").exists()
    (tmp_path / ".saving").write_text("in the way")
    with pytest.raises(ModelError, match=r"result cannot be saved .* what was trained is kept"):
        train(base, data, tmp_path)
    (tmp_path / ".saving").unlink()
    seen: list[Progress] = []
    assert train(base, data, tmp_path, seen.append).finished
    assert seen == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"role": "judge"}, "unknown"),
        ({"rank": -1}, "at least 0"),
        ({"learning_rate": float("nan")}, "above zero"),
        ({"minutes": 0}, "above zero"),
        ({"dropout": 1.0}, "shares"),
        ({"targets": ()}, "rank=0"),
        ({"rank": 0, "bf16": True}, "half precision"),
        ({"window": 20}, "do not fit the window"),
        ({"window": 600}, "--window 512"),
        ({"targets": ("no_such_layer",)}, "--targets"),
    ],
)
def test_wrong_options(base, data, tmp_path, options, says):
    with pytest.raises(ConfigurationError, match=says):
        train(base, data, tmp_path, **options)


def test_data_without_the_role_s_documents(base, tmp_path):
    file = tmp_path / "read.jsonl"
    save([ReadDocument("d", ("Ada.",))], file)
    with pytest.raises(ConfigurationError, match="1 documents, 0 of the right kind"):
        train(base, file, tmp_path / "out")


def test_a_whole_model_is_saved_and_loaded(base, data, tmp_path):
    assert train(base, data, tmp_path, rank=0, learning_rate=1e-3).finished
    tuned = MemLLMModel.from_pretrained(tmp_path, device="cpu")
    assert fingerprint(tmp_path, tuned.tokenizer) != fingerprint(base, tuned.tokenizer)
    assert tuned.complete("Ada", 3)


# --- what is loaded and what is refused -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer(base, data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    train(base, data, folder)
    return folder


@pytest.fixture(scope="module")
def control(base, data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("control")
    train(base, data, folder, role="control")
    return folder


@pytest.fixture
def copy(writer, tmp_path) -> Path:
    return Path(shutil.copytree(writer, tmp_path / "adapter"))


def refused(base: Path, says: str, **adapters: Path) -> None:
    with pytest.raises(ModelError, match=says):
        MemLLMModel.from_pretrained(base, **adapters, device="cpu")


def test_a_changed_file_is_refused(base, copy):
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-1] + b" ")
        refused(base, rf"{name} is not the file that was saved \(SHA-256\)", write_adapter=copy)
        (copy / name).write_bytes(content)
    (copy / "README.md").unlink()
    refused(base, "README.md is missing", write_adapter=copy)


def test_a_file_that_is_not_listed_is_refused(base, copy):
    shutil.copy(copy / "adapter_model.safetensors", copy / "more.safetensors")
    refused(base, "more.safetensors is not listed", write_adapter=copy)


def test_another_role_is_refused(base, writer):
    refused(base, "trained to write, not to read", read_adapter=writer)


def test_another_base_is_refused(base, writer, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(base, other)
    tiny(seed=1).model.save_pretrained(other)
    refused(other, "was trained on tiny .* not on other", write_adapter=writer)


def test_pickles_are_refused(base, copy):
    (copy / "adapter_model.safetensors").rename(copy / "other.safetensors")
    (copy / "adapter_model.bin").write_bytes(b"x")
    refused(base, "adapter_model.bin, a pickle", write_adapter=copy)


def test_a_manifest_that_cannot_be_read_is_refused(base, copy):
    manifest = json.loads((copy / MANIFEST).read_text())
    for text, says in (("{", "cannot be read"), (json.dumps(manifest | {"format": 99}), "newer version")):
        (copy / MANIFEST).write_text(text)
        refused(base, says, write_adapter=copy)


def test_the_fingerprint_is_of_the_weights_not_of_the_file(base, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(base, again)
    model = tiny()
    from safetensors.torch import save_file

    state = {name: value.clone() for name, value in reversed(model.model.state_dict().items())}
    save_file(state, again / "model.safetensors", {"format": "pt", "order": "another"})
    assert sha256(again / "model.safetensors") != sha256(base / "model.safetensors")
    assert fingerprint(again, model.tokenizer) == fingerprint(base, model.tokenizer)


@pytest.mark.parametrize("role", ["write", "read", "control"])
def test_a_training_begins_with_an_earlier_adapter(base, data, tmp_path, role):
    earlier, later, plain = (tmp_path / name for name in ("earlier", "later", "plain"))
    train(base, data, earlier, role=role, steps=30, epochs=10)
    untrained = train(base, data, plain, role=role, steps=1).first_loss
    first = train(base, data, later, role=role, steps=1, start=earlier).first_loss
    assert first < 0.8 * untrained  # of the same first step
    assert read_manifest(later)["start"] == sha256(earlier / "adapter_model.safetensors")
    assert read_manifest(plain)["start"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 8}, "another rank or other layers than rank 8"),
        ({"rank": 0}, "cannot begin with an adapter"),
        ({"role": "read"}, "was trained to write, not to read"),
    ],
)
def test_an_adapter_that_does_not_fit_is_no_beginning(base, data, tmp_path, options, said):
    train(base, data, tmp_path / "earlier", steps=1)
    with pytest.raises((ConfigurationError, ModelError), match=said):
        train(base, data, tmp_path / "later", start=tmp_path / "earlier", **options)
    assert not (tmp_path / "later" / MANIFEST).exists()


def test_the_mean_of_two_adapters(base, data, tmp_path):
    first, second, mean = (tmp_path / name for name in ("first", "second", "mean"))
    train(base, data, first, steps=2)
    train(base, data, second, steps=2, start=first)
    average(first, second, mean)
    one, other, half = (load_file(folder / "adapter_model.safetensors") for folder in (first, second, mean))
    assert half.keys() == one.keys()
    assert any(not torch.equal(one[name], other[name]) for name in one)
    for name, tensor in half.items():
        torch.testing.assert_close(tensor.float(), (one[name].float() + other[name].float()) / 2, rtol=1e-3, atol=1e-6)
    manifest = read_manifest(mean)
    assert manifest["mean_of"] == [sha256(folder / "adapter_model.safetensors") for folder in (first, second)]
    assert MemLLMModel.from_pretrained(base, write_adapter=mean, device="cpu").adapters == {"write"}
    with pytest.raises(ConfigurationError, match="holds a finished training"):
        average(first, second, mean)


def test_adapters_without_a_mean(base, data, tmp_path):
    train(base, data, tmp_path / "write", steps=1)
    train(base, data, tmp_path / "read", steps=1, role="read")
    train(base, data, tmp_path / "larger", steps=1, rank=8)
    for other, says in (("read", "role is 'write' and 'read'"), ("larger", "rank is 4 and 8")):
        with pytest.raises(ConfigurationError, match=says):
            average(tmp_path / "write", tmp_path / other, tmp_path / "mean")
    with pytest.raises(ModelError, match="is not a folder"):
        average(tmp_path / "write", tmp_path / "absent", tmp_path / "mean")
    manifest = json.loads((tmp_path / "write" / MANIFEST).read_text())
    for options in ({}, {"targets": [], "unknown": 1}):
        (tmp_path / "write" / MANIFEST).write_text(json.dumps({**manifest, "options": options}))
        with pytest.raises(ModelError, match="does not say how it was trained"):
            average(tmp_path / "write", tmp_path / "larger", tmp_path / "mean")
    (tmp_path / "read" / MANIFEST).unlink()
    with pytest.raises(ModelError, match=r"has no memllm\.json"):
        average(tmp_path / "write", tmp_path / "read", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_scaled_adapter_changes_the_base_by_its_share(base, data, tmp_path):
    whole, half = tmp_path / "whole", tmp_path / "half"
    train(base, data, whole, steps=3, learning_rate=1e-2)
    scale(whole, 0.5, half)
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (whole, half))
    layers = [name for name in one if "lora_B" in name]
    assert layers
    for name in layers:
        left = name.replace("lora_B", "lora_A")
        change, halved = (held[name].float() @ held[left].float() for held in (one, other))
        assert change.abs().max() > 0
        torch.testing.assert_close(halved, change / 2, rtol=2e-3, atol=1e-6)
    manifest = read_manifest(half)
    assert manifest["scaled_of"] == sha256(whole / "adapter_model.safetensors")
    assert manifest["scaled"] == 0.5
    assert MemLLMModel.from_pretrained(base, write_adapter=half, device="cpu").adapters == {"write"}
    train(base, data, tmp_path / "on", steps=1, start=half)


def test_what_cannot_be_scaled(base, data, tmp_path):
    train(base, data, tmp_path / "write", steps=1)
    for share in (0, 1, -0.5, float("nan")):
        with pytest.raises(ConfigurationError, match="is not a point between base and adapter"):
            scale(tmp_path / "write", share, tmp_path / "part")
    with pytest.raises(ModelError, match="is not a folder"):
        scale(tmp_path / "absent", 0.5, tmp_path / "part")
    assert not (tmp_path / "part").exists()
    with pytest.raises(ConfigurationError, match="holds a finished training"):
        scale(tmp_path / "write", 0.5, tmp_path / "write")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be scaled"):
        scale(tmp_path / "write", 0.5, tmp_path / "file" / "part")
    file = tmp_path / "write" / "adapter_model.safetensors"
    save_file({**load_file(file), "layer.bias": torch.zeros(2)}, file)
    with pytest.raises(ConfigurationError, match="weights beside those of low rank"):
        scale(tmp_path / "write", 0.5, tmp_path / "part")


def test_the_base_in_half_width(base, data, tmp_path):
    whole = train(base, data, tmp_path / "whole", steps=3)
    half = train(base, data, tmp_path / "half", steps=3, bf16=True)
    assert half.first_loss != whole.first_loss
    assert half.first_loss == pytest.approx(whole.first_loss, rel=0.01)
    state = load_file(tmp_path / "half" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
