"""What is learnt, token by token, against cases worked out by hand; and that inference feeds the same tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_model import tiny

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import render_read, render_write, render_write_prompt
from langchain_memllm.local.confidence import Confidence
from langchain_memllm.local.writer import WriteOptions, write_batch
from langchain_memllm.reading import Generate, Generated, Reading, Results, advance, next_action
from langchain_memllm.training.examples import (
    Example,
    ReadDocument,
    WriteDocument,
    load,
    read_tokens,
    save,
    write_tokens,
)
from langchain_memllm.triples import Query, Triple

BORN = Triple("Ada", "place of birth", "Oslo")
BEGIN = "<|endoftext|>"
ASK = Query("Ada", "place of birth")
READ = ReadDocument(
    "d", ("Ada was born in", " Oslo and wed", " Bo."), (((ASK,), ("Oslo",)), ((Query("Ada", "spouse"),), ("Bo", "Cy")))
)


@pytest.fixture(scope="module")
def vocabulary():
    return tiny().vocabulary


def marked(example: Example, vocabulary) -> str:
    """The text of an example with what is learnt between ⟦ and ⟧; ¶ is the end of the text."""
    text, learning = "", False
    runs: list[tuple[bool, list[int]]] = []
    for token, learnt in zip(example.ids, example.learnt, strict=True):
        if not runs or runs[-1][0] != learnt:
            runs.append((learnt, []))
        runs[-1][1].append(token)
    for learning, ids in runs:
        piece = vocabulary.decode(ids).replace("<|im_end|>", "¶")
        text += f"⟦{piece}⟧" if learning else piece
    assert text.startswith(BEGIN)
    return text.removeprefix(BEGIN)


def test_a_writer_learns_the_triples_and_the_end(vocabulary):
    document = WriteDocument("d", ("Hm.", "Ada was born in Oslo."), ((), (BORN, Triple("a;b", "likes", "tea"))))
    first, second = write_tokens(document, vocabulary, window=512)
    assert marked(first, vocabulary) == "({USER_ST})Hm.({USER_END})({MEM_WRITE-->⟦})¶⟧"
    assert marked(second, vocabulary) == (
        "Hm. ({USER_ST})Ada was born in Oslo.({USER_END})({MEM_WRITE-->"
        r"⟦Ada>>place of birth>>Oslo;a\sb>>likes>>tea})¶⟧"
    )


def test_what_a_writer_is_shown_is_what_it_is_shown_in_use(vocabulary):
    sentences = ("Hm.", "Ada was born in Oslo ({ so }).")
    (example,) = write_tokens(WriteDocument("d", sentences, (None, (BORN,))), vocabulary, window=512)
    shown = [i for i, learnt in zip(example.ids, example.learnt, strict=True) if not learnt]
    assert shown == prompt_in_use(sentences[1], [sentences[0]])
    prompt = render_write_prompt(sentences[1], sentences[0])
    assert vocabulary.decode(shown) == BEGIN + prompt + render_write(())[:-2]


def prompt_in_use(sentence: str, context: list[str]) -> list[int]:
    """What the writer feeds to its model before it writes: the beginning, then the prompt."""
    model, fed = tiny(), []
    forward = model.model.forward
    model.model.forward = lambda **inputs: (fed.append(inputs["input_ids"][0].tolist()), forward(**inputs))[1]
    with model.role("write") as decoder:
        write_batch(decoder, [sentence], [context], WriteOptions(max_tokens=1), (), lambda _text: None, Confidence())
    return [*fed[0], *fed[1]]


def test_a_sentence_without_a_list_is_context_only(vocabulary):
    document = WriteDocument("d", ("Hm.", "Ada."), (None, ()))
    (example,) = write_tokens(document, vocabulary, window=512)
    assert marked(example, vocabulary) == "Hm. ({USER_ST})Ada.({USER_END})({MEM_WRITE-->⟦})¶⟧"


def test_a_reader_learns_its_queries_the_text_and_where_calls_open(vocabulary):
    first, second, third = read_tokens(READ, vocabulary, window=512)
    assert marked(first, vocabulary) == "⟦Ada was born in({⟧"
    assert marked(second, vocabulary) == (
        "Ada was born in({MEM_READ(⟦Ada>>place of birth>>)-->⟧Oslo})⟦ Oslo and wed({⟧"
    )
    assert marked(third, vocabulary) == ("Ada was born in Oslo and wed({MEM_READ(⟦Ada>>spouse>>)-->⟧Bo;Cy})⟦ Bo.¶⟧")


def test_a_control_learns_the_same_text_and_no_call(vocabulary):
    examples = read_tokens(READ, vocabulary, window=512, calls=False)
    assert [marked(example, vocabulary) for example in examples] == [
        "⟦Ada was born in⟧",
        "Ada was born in⟦ Oslo and wed⟧",
        "Ada was born in Oslo and wed⟦ Bo.¶⟧",
    ]


def test_after_a_withdrawn_call_the_text_goes_on_without_it(vocabulary):
    examples = read_tokens(READ, vocabulary, window=512, withdrawn=True)
    assert examples[:3] == read_tokens(READ, vocabulary, window=512)
    second, third = examples[3:]
    for example, before, piece, after in (
        (second, "Ada was born in", " Oslo and wed", "({"),
        (third, "Ada was born in Oslo and wed", " Bo.", "¶"),
    ):
        assert marked(example, vocabulary) == f"{before}⟦{piece}{after}⟧"
        # in the place of its first token a call is to be opened: it is learnt among the others
        assert example.closed == len(vocabulary.bos) + len(vocabulary.encode(before))
    control = read_tokens(READ, vocabulary, window=512, calls=False, withdrawn=True)
    assert len(control) == 3


def test_the_text_is_learnt_after_a_mistake_and_the_mistake_is_not(vocabulary):
    mistaken = replace(READ, mistakes={1: ((Query(None, "child", "Ada"),), ("Di",))})
    *others, added = read_tokens(mistaken, vocabulary, window=512)
    assert others == read_tokens(READ, vocabulary, window=512)
    assert marked(added, vocabulary) == "Ada was born in Oslo and wed({MEM_READ(>>child>>Ada)-->Di})⟦ Bo.¶⟧"
    assert read_tokens(mistaken, vocabulary, window=512, calls=False) == read_tokens(
        READ, vocabulary, window=512, calls=False
    )
    with pytest.raises(ConfigurationError, match=r"mistakes of the calls \[2\], of which there are 2"):
        replace(READ, mistakes={2: ((ASK,), ("Di",))})


def taught(example: Example, vocabulary) -> str:
    """The text that a teacher reads, with what it says a word to between ⟦ and ⟧."""
    ahead = len(example.ids) - len(example.plain)
    runs: list[tuple[bool, list[int]]] = []
    for at, token in enumerate(example.plain):
        assert not example.taught[ahead + at] or example.ids[ahead + at] == token
        by_it = example.taught[ahead + at] and example.learnt[ahead + at]
        if not runs or runs[-1][0] != by_it:
            runs.append((by_it, []))
        runs[-1][1].append(token)
    pieces = [(by_it, vocabulary.decode(ids).replace("<|im_end|>", "¶")) for by_it, ids in runs]
    return "".join(f"⟦{piece}⟧" if by_it else piece for by_it, piece in pieces).removeprefix(BEGIN)


def test_a_teacher_says_how_the_text_goes_on_but_no_pasted_name_and_no_call(vocabulary):
    mistaken = replace(READ, mistakes={1: ((Query(None, "child", "Ada"),), ("Di",))})
    examples = read_tokens(mistaken, vocabulary, window=512, withdrawn=True, teacher=True)
    assert [taught(example, vocabulary) for example in examples] == [
        "⟦Ada was born in⟧({",
        "Ada was born in Oslo⟦ and wed⟧({",
        "Ada was born in Oslo and wed Bo⟦.¶⟧",
        "Ada was born in Oslo and wed⟦ Bo.¶⟧",  # what was pasted does not help
        "Ada was born in⟦ Oslo and wed⟧({",
        "Ada was born in Oslo and wed⟦ Bo.¶⟧",
    ]
    plain = read_tokens(mistaken, vocabulary, window=512, withdrawn=True)
    assert [replace(each, taught=(), plain=()) for each in examples] == plain
    for example in examples[1:4]:  # they have a call, which the teacher does not read
        assert len(example.plain) < len(example.ids) == len(example.taught)


def test_a_text_that_goes_on_has_no_end(vocabulary):
    (example,) = read_tokens(ReadDocument("d", ("Ada",), ends=False), vocabulary, window=512)
    assert marked(example, vocabulary) == "⟦Ada⟧"


def test_what_a_reader_is_shown_is_what_it_is_shown_in_use(vocabulary):
    """Both contexts of a reading, when it writes its query and when it goes on, are the example's, token by token."""
    reading = Reading.start(READ.pieces[0])
    for number, (queries, names) in enumerate(READ.calls, 1):
        piece = READ.pieces[number - 1]
        if number > 1:
            event = Generated(piece, "stop", "({", tuple(vocabulary.encode(piece)))
        else:
            event = Generated("", "stop", "({")
        reading, asking = advance(reading, event)
        assert isinstance(asking, Generate)
        example = read_tokens(READ, vocabulary, window=512)[number]
        context = vocabulary.encode_segments(asking.segments)
        assert list(example.ids[: len(context)]) == context
        assert example.learnt[len(context)]
        assert not any(example.learnt[: len(context)])
        written = "".join(f"{q.subject}>>{q.relation}>>" for q in queries)
        reading, _ = advance(reading, Generated(written + ")", "stop", "-->"))
        reading, going_on = advance(reading, Results((names,)))
        assert isinstance(going_on, Generate)
        context = vocabulary.encode_segments(going_on.segments)
        assert list(example.ids[: len(context)]) == context
        assert example.learnt[len(context)]
        assert going_on.context.endswith(render_read(queries, names))
    assert next_action(reading) == going_on


def test_the_beginning_is_cut_and_what_is_learnt_never(vocabulary):
    whole = read_tokens(READ, vocabulary, window=512)[2]
    least = next(at for at in range(len(whole.ids)) if vocabulary.decode(whole.ids[at:]).startswith("({MEM_READ"))
    needed = 1 + len(whole.ids) - least
    for window in (needed, needed + 3):
        cut = read_tokens(ReadDocument("d", READ.pieces[1:], READ.calls[1:]), vocabulary, window=window)[-1]
        assert len(cut.ids) <= window
        assert cut.ids[0] == whole.ids[0]
        assert cut.ids[1 - needed :] == whole.ids[1 - needed :]
        assert sum(cut.learnt) == sum(whole.learnt)
    with pytest.raises(ConfigurationError, match=r"d: \d+ tokens .* larger --window"):
        read_tokens(READ, vocabulary, window=needed - 1)


def test_context_of_a_writer_is_cut_and_the_sentence_never(vocabulary):
    document = WriteDocument("d", ("Hm. " * 20, "Ada was born in Oslo."), (None, (BORN,)))
    (whole,) = write_tokens(document, vocabulary, window=512)
    (alone,) = write_tokens(WriteDocument("d", document.sentences[1:], ((BORN,),)), vocabulary, window=512)
    (cut,) = write_tokens(document, vocabulary, window=len(alone.ids) + 2)
    assert len(whole.ids) > len(cut.ids) == len(alone.ids) + 2
    assert cut.ids[0] == alone.ids[0]
    assert cut.ids[3:] == alone.ids[1:]
    with pytest.raises(ConfigurationError, match="split the sentence"):
        write_tokens(document, vocabulary, window=len(alone.ids) - 1)


def test_documents_survive_a_file(tmp_path):
    written = WriteDocument("w", ("Hm.", "Ada."), (None, (BORN,)))
    mistaken = replace(READ, mistakes={1: ((ASK,), ("Di",))}, ends=False)
    file = tmp_path / "a.jsonl"
    assert save([written, READ, mistaken], file) == 3
    assert load([file]) == [written, READ, mistaken]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no documents"),
        ("{\n", "line 1 of .* is not a training document"),
        ('{"kind": "write", "source": "d", "sentences": [], "triples": []}\n', "at least one sentence"),
        (
            '{"kind": "read", "source": "d", "pieces": ["a"], "calls": [{"queries": [], "results": []}]}\n',
            "calls stand between",
        ),
    ],
)
def test_bad_files_say_which_line(tmp_path, text, says):
    (tmp_path / "bad.jsonl").write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        load([tmp_path / "bad.jsonl"])
