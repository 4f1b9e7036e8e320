"""Examples as trees: worked by hand, and the same predictions as each example alone."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tiny_model import tiny
from training.test_examples import BORN, READ, WriteDocument

from langchain_memllm.training.examples import Example, read_tokens, write_tokens
from langchain_memllm.training.loss import loss_of
from langchain_memllm.training.packing import batch_of, batches, joined, steps_of, trees


def example(ids: list[int], learnt: str) -> Example:
    return Example(tuple(ids), tuple(mark == "x" for mark in learnt))


def test_a_tree_by_hand():
    (tree,) = trees([example([5, 6, 7], ".xx"), example([5, 6, 8, 9], "..x."), example([4], "x")], budget=100)
    assert tree.ids.tolist() == [5, 6, 7, 8, 9, 4]
    assert tree.parents.tolist() == [-1, 0, 1, 1, 3, -1]
    assert tree.targets.tolist() == [
        [0, 6, 0, -1],
        [1, 7, 0, -1],
        [1, 8, 0, -1],
    ]  # nothing stands before 4, so it cannot be learnt
    assert tree.examples == 3
    batch = batch_of([tree])
    assert batch.positions.tolist() == [[0, 1, 2, 2, 3, 0]]
    sees = (batch.mask[0, 0] == 0).int().tolist()
    assert sees == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_a_tree_ends_at_the_budget():
    examples = [example([1, 2, 3], ".xx"), example([1, 2, 4], ".xx"), example([1, 5, 6], ".xx")]
    assert [tree.ids.tolist() for tree in trees(examples, budget=4)] == [[1, 2, 3, 4], [1, 5, 6]]
    assert [tree.examples for tree in trees(examples, budget=100)] == [3]
    assert trees([example([1, 2], "..")], budget=100) == []  # nothing to learn


def test_predictions_are_those_of_each_example_alone():
    model = tiny()
    documents = [
        read_tokens(READ, model.vocabulary, window=512, withdrawn=True),
        write_tokens(
            WriteDocument("d", ("Hm.", "Ada was born in Oslo.", "Ada."), ((), (BORN,), ())),
            model.vocabulary,
            window=512,
        ),
    ]
    rows = [tree for document in documents for tree in trees(document, 10_000)]
    assert len(rows) == 2
    alone = sum(len(example.ids) for document in documents for example in document)
    assert sum(len(tree.ids) for tree in rows) < alone
    opening = list(model.vocabulary.opening)
    assert opening
    expected = sum(brute(model.model, e, opening) for d in documents for e in d)
    for batch in (batch_of(rows), batch_of([joined(rows)])):
        assert float(loss_of(model.model, batch, model.vocabulary.opening).detach()) == pytest.approx(
            expected, rel=1e-5
        )


def test_a_teacher_predicts_each_token_from_the_text_without_the_call():
    model, teacher = tiny(), tiny(seed=8)
    examples = read_tokens(READ, model.vocabulary, window=512, withdrawn=True, teacher=True)
    rows = trees(examples, 10_000)
    opening = list(model.vocabulary.opening)
    expected = sum(brute(model.model, each, opening, teacher.model) for each in examples)
    assert expected != pytest.approx(sum(brute(model.model, each, opening) for each in examples), rel=1e-3)
    for batch in (batch_of(rows), batch_of([joined([*rows, *rows])]), batch_of([*rows, *rows])):
        times = batch.places.numel() / len(rows[0].targets)
        loss = float(loss_of(model.model, batch, opening, teacher.model).detach())
        assert loss == pytest.approx(times * expected, rel=1e-5)
    assert float(loss_of(model.model, batch_of(rows), opening).detach()) == pytest.approx(
        sum(brute(model.model, each, opening) for each in examples), rel=1e-5
    )  # without a teacher the text itself is learnt


def test_a_teacher_has_its_text_in_the_tree_where_trees_are_small():
    model = tiny()
    examples = read_tokens(READ, model.vocabulary, window=512, teacher=True)
    forest = trees(examples, budget=max(len(e.ids) + len(e.plain) for e in examples))
    assert len(forest) > 1
    assert sum((tree.targets[:, 3] >= 0).sum() for tree in forest) == sum(
        learnt and taught for each in examples for learnt, taught in zip(each.learnt[1:], each.taught[1:], strict=True)
    )
    for tree in forest:
        for node, token, _, by in tree.targets.tolist():
            if by >= 0:
                before = [at for at in range(len(tree.ids)) if tree.parents[at] == by and tree.ids[at] == token]
                assert before, (node, token)


def test_trees_side_by_side_by_hand():
    (first,) = trees([example([5, 6], ".x")], 100)
    (second,) = trees([example([7, 8, 9], ".xx"), example([7, 4], ".x")], 100)
    both = joined([first, second])
    assert both.ids.tolist() == [5, 6, 7, 8, 9, 4]
    assert both.parents.tolist() == [-1, 0, -1, 2, 3, 2]
    assert both.targets.tolist() == [[0, 6, 0, -1], [2, 8, 0, -1], [3, 9, 0, -1], [2, 4, 0, -1]]
    assert both.examples == 3


def brute(model, example: Example, opening: list[int], teacher=None) -> float:
    """Sum of the negative log-probabilities of the learnt tokens, one forward pass for each.

    Those of which a teacher has a say: of all tokens, each as often as the teacher says.
    """

    def logprobs(of, ids, at):
        logits = of(input_ids=torch.tensor([ids])).logits[0, -1].detach()
        return torch.log_softmax(
            logits.index_fill(0, torch.tensor(opening), -1e9) if at == example.closed else logits, -1
        )

    total, ahead = 0.0, len(example.ids) - len(example.plain)
    for at in range(1, len(example.ids)):
        if example.learnt[at]:
            ours = logprobs(model, example.ids[:at], at)
            if teacher is not None and example.taught[at]:
                total -= float((logprobs(teacher, example.plain[: at - ahead], at).exp() * ours).sum())
            else:
                total -= float(ours[example.ids[at]])
    return total


def test_logits_are_computed_where_something_is_learnt():
    model, seen = tiny().model, []
    (tree,) = trees([example([5, 6, 7, 8], "..x.")], 100)
    handle = model.lm_head.register_forward_hook(lambda _m, _i, output: seen.append(tuple(output.shape)))
    loss_of(model, batch_of([tree]), ())
    assert seen == [(1, 1, model.config.vocab_size)]
    handle.remove()
    assert model(input_ids=torch.tensor([[5, 6]])).logits.shape[1] == 2  # all of them again


def test_steps_and_batches_keep_to_their_sizes():
    forest = [tree for n in range(2, 40) for tree in trees([example([*range(n)], "." * (n - 1) + "x")] * 2, 100)]
    steps = steps_of(forest, batch_size=5, seed=1, epoch=0)
    assert [sum(tree.examples for tree in step) for step in steps] == [6] * 12 + [4]
    assert steps_of(forest, 5, 1, 0) == steps != steps_of(forest, 5, 1, 1)
    assert sorted(len(t.ids) for step in steps for t in step) == list(range(2, 40))
    for step in steps:
        parts = list(batches(step, 64))
        assert sorted(id for part in parts for tree in part for id in tree.ids) == sorted(
            id for tree in step for id in tree.ids
        )
        assert sum(tree.examples for part in parts for tree in part) == sum(tree.examples for tree in step)
        for part in parts:
            assert len(part) == 1 or len(part) * max(len(tree.ids) for tree in part) <= 64
