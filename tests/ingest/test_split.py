"""split: chunks that can be found again in their document, that lose nothing, and that follow its structure."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.blocks import plain
from ingest.split import split
from kb.records import Chunk, Document, DocumentKind

WORDS = ["alpha", "beta-2", "--flag", "`code`", "knowledge", "知识库", "命令。", "Done.", "Why?", "[link](a.md)", "**bold**", "é"]
ODD = [
    *"# ## ``` ~~~ --- === |-|-| <!-- --> <table> </table> > - :: .. ::: [ ]( $$ +---+ ![x](y) <img 第一章 \u0301".split(" "),
    *("    ", "\t", "| a | b |", ".. toctree::", "- - -", "\u2028", "\x0c"),
]
LONG = "A paragraph that is long enough to stand alone, in a chunk of its own, whatever stands before it or after it.\n\n"


def document(text: str, kind: DocumentKind = "markdown") -> Document:
    return Document("key", "source", "a.md", "a.md", "A", text, kind)


def chunks(text: str, kind: DocumentKind = "markdown", size: int = 1000) -> list[Chunk]:
    return split(document(text, kind), size)


def squeezed(text: str) -> str:
    return "".join(text.split())


words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)
paragraph = st.lists(words, min_size=1, max_size=4).map("\n".join)
code = st.lists(words, min_size=1, max_size=12).map(lambda lines: "```bash\n" + "\n\n".join(lines) + "\n```")
items = st.lists(words, min_size=1, max_size=8).map(lambda lines: "\n".join(f"- {line}" for line in lines))
table = st.lists(words, min_size=1, max_size=4).map(
    lambda rows: "| a | b |\n|---|---|\n" + "\n".join(f"| 1 | {r} |" for r in rows)
)
heading = st.tuples(st.integers(1, 4), st.sampled_from(["Setup", "Use of it", "参数"])).map(lambda h: "#" * h[0] + " " + h[1])
section = st.tuples(heading, st.lists(st.one_of(paragraph, code, items, table), min_size=1, max_size=5))
sections = st.lists(section.map(lambda s: "\n\n".join([s[0], *s[1]])), min_size=1, max_size=6).map("\n\n".join)
anything = st.lists(st.one_of(st.sampled_from(ODD), words, st.text(max_size=30)), max_size=40).flatmap(
    lambda parts: st.sampled_from(["\n", "\n\n", " ", ""]).map(lambda joint: joint.join(parts))
)


@given(sections, st.sampled_from([200, 500, 1000]))
def test_nothing_is_lost_and_nothing_twice(text: str, size: int) -> None:
    found = chunks(text, size=size)
    assert squeezed("".join(chunk.text for chunk in found)) == squeezed(text)
    for chunk in found:
        assert chunk.text in "\n".join(text.split("\n")[chunk.start - 1 : chunk.end])
        assert len(chunk.text) <= 4 * size + 300


@given(st.lists(paragraph, min_size=1, max_size=20).map("\n\n".join), st.sampled_from([200, 1000]))
def test_plain_text_is_whole_too(text: str, size: int) -> None:
    found = chunks(text, "text", size)
    assert squeezed("".join(chunk.text for chunk in found)) == squeezed(text)


@given(anything, st.sampled_from(["markdown", "rst", "text"]))
@settings(max_examples=300)
def test_whatever_the_text_chunks_are_found_in_it(text: str, kind: DocumentKind) -> None:
    text = text.replace("\0", "").replace("\r", "\n")
    found = chunks(text, kind, 200)
    assert found == chunks(text, kind, 200)
    lines = text.split("\n")
    assert [chunk.ordinal for chunk in found] == list(range(len(found)))
    assert len({chunk.id for chunk in found}) == len(found)
    for before, chunk in zip([None, *found], found, strict=False):
        assert 1 <= chunk.start <= chunk.end <= len(lines)
        assert before is None or before.end <= chunk.start or before.end == chunk.start
        place = "\n".join(lines[chunk.start - 1 : chunk.end])
        head, _, rest = chunk.text.partition("\n")
        assert chunk.text in place or (head in text and rest.partition("\n")[2] in place)  # a table that goes on


def test_heading_paths_are_plain_words() -> None:
    headings = (
        "# The **big** [guide](a.md) ![logo](b.png)",
        "## Use `cmd` and snake_case {#use}",
        "Setext *title*\n==============",
        "<h2 align='center'>From HTML</h2>",
    )
    text = "".join(f"{heading}\n\n{LONG}" for heading in headings)
    assert [chunk.heading for chunk in chunks(text)] == [
        ("The big guide",),
        ("The big guide", "Use cmd and snake_case"),
        ("Setext title",),
        ("Setext title", "From HTML"),
    ]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("``xtuner`` *run*", "xtuner run"),
        ("`DeepSpeed <https://a.b/c>`_ 的用法", "DeepSpeed 的用法"),
        (":ref:`install`", "install"),
        ("Step 1\\. Go ##", "Step 1. Go"),
        ("C# and __init__ of a_b_c", "C# and init of a_b_c"),
        ("[![badge](x)](y) Name", "Name"),
        ("2 < 3 > 1", "2 < 3 > 1"),
    ],
)
def test_markup_leaves_headings(title: str, words: str) -> None:
    assert plain(title) == words


def test_code_is_no_heading_and_stays_whole() -> None:
    script = "\n".join(f"# step {n}\nrun --number {n}" for n in range(60))
    text = f"# Run\n\nAs follows:\n\n```bash\n{script}\n```\n\nThat was all.\n"
    found = chunks(text)
    assert all(chunk.heading == ("Run",) for chunk in found)
    assert f"As follows:\n\n```bash\n{script}\n```" in found[0].text


def test_words_before_a_command_go_with_it() -> None:
    text = (
        "# T\n\n" + "A sentence of prose. " * 45 + "\n\nInstall it with:\n\n```bash\n" + "pip install something\n" * 10 + "```\n"
    )
    assert [chunk.text[:16] for chunk in chunks(text)] == ["# T\n\nA sentence ", "Install it with:"]


def test_a_long_table_repeats_its_header() -> None:
    rows = [f"| key{n} | a value with the number {n} |" for n in range(200)]
    text = "# Keys\n\n| key | value |\n| --- | ----- |\n" + "\n".join(rows) + "\n"
    found = chunks(text)
    assert len(found) > 2
    for chunk in found[1:]:
        header, own = chunk.text.split("\n")[:2], chunk.text.split("\n")[2:]
        assert header == ["| key | value |", "| --- | ----- |"]
        assert own == text.split("\n")[chunk.start - 1 : chunk.end]
    assert [row for chunk in found for row in chunk.text.split("\n") if row.startswith("| key")][1:].count(rows[7]) == 1


def test_small_sections_join_their_neighbours() -> None:
    text = (
        "# Book\n\n## A\n\n### A1\n\nTiny.\n\n### A2\n\n"
        + "Long enough to stand. " * 10
        + "\n\n## B\n\n"
        + "Also long enough. " * 10
    )
    found = chunks(text)
    assert [(chunk.heading, chunk.start) for chunk in found] == [(("Book", "A", "A2"), 1), (("Book", "B"), 13)]


def test_what_is_no_text_is_left_out() -> None:
    text = (
        "---\ntitle: T\ntags:\n  - a\n---\n\n# Title\n\n[![badge](a.svg)](b)\n\n<!--\n" + "hidden words " * 20 + "\n-->\n\n"
        "Words that are seen, in a paragraph that is not tiny at all and goes on for a while.\n\n"
        "```{toctree}\n" + "page/number/one\n" * 10 + "```\n\n![only](an-image.png)\n\n"
        "![inline](data:image/png;base64,"
        + "iVBORw0KGgo" * 300
        + ")\n\nAnd words after it, in another paragraph that is not tiny.\n"
    )
    joined = "\n".join(chunk.text for chunk in chunks(text))
    assert "Words that are seen" in joined
    assert "And words after it" in joined
    for absent in ("hidden words", "page/number", "iVBOR", "tags:"):
        assert absent not in joined


def test_rst_structure() -> None:
    text = (
        "=====\nGuide\n=====\n\n.. toctree::\n   :maxdepth: 2\n   :caption: Start\n\n"
        + "   some/long/path/to/a/page\n" * 5
        + "\n.. _label:\n\nInstall\n-------\n\nRun this::\n\n   pip install x\n\n   x --now\n\n"
        + LONG
        + ".. note::\n\n   Mind the gap.\n\n"
        "安装说明\n--------\n\n.. list-table::\n   :header-rows: 1\n\n   * - a\n     - b\n\n" + LONG + "Deeper\n~~~~~~\n\n" + LONG
    )
    found = chunks(text, "rst")
    assert [chunk.heading for chunk in found] == [("Guide", "Install"), ("Guide", "安装说明"), ("Guide", "安装说明", "Deeper")]
    assert "Run this::\n\n   pip install x\n\n   x --now" in found[0].text
    assert "Mind the gap." in found[0].text
    assert all("some/long" not in chunk.text for chunk in found)


def test_chinese_chapters_are_headings_of_plain_text() -> None:
    body = "这一章说明知识库的用途和结构，文本足够长，可以单独成为一段。" * 3
    text = f"第一章 总则\n\n{body}\n\n一、用途\n\n{body}\n\n第二章 附则\n\n{body}\n"
    assert [chunk.heading for chunk in chunks(text, "text")] == [("第一章 总则",), ("第一章 总则", "一、用途"), ("第二章 附则",)]


def test_a_long_line_is_cut_at_sentence_ends() -> None:
    sentence = "这是一个很长的句子，用来检查切分的位置是否正确。Then an English sentence follows it, v1.2 included. "
    found = chunks(sentence * 100, "text", 300)
    assert all(chunk.text.endswith(("。", ".")) for chunk in found)
    assert all(100 <= len(chunk.text) <= 300 for chunk in found[:-1])


@given(st.text(alphabet="ae\u0301\u200d👍🏽가\u1161\u11a8\ufe0f字", min_size=300, max_size=900))
def test_no_cut_within_a_character(text: str) -> None:
    for chunk in chunks("x" + text, "text", 200)[1:]:
        if not any(text.count(mark * 50) for mark in "\u0301\u200d🏽\u1161\u11a8\ufe0f"):
            assert chunk.text[0] not in "\u0301\u200d🏽\u1161\u11a8\ufe0f"


MEGA = 1_000_000
ADVERSARIES: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: "[" * n,
    "images": lambda n: "![" * (n // 2) + "](" * 100,
    "quotes": lambda n: ">" * n,
    "nested quotes": lambda n: "\n".join(">" * k for k in range(int(n**0.5))),
    "nested lists": lambda n: "\n".join(" " * k + "- x" for k in range(int(n**0.5))),
    "comments": lambda n: "<!--\n" * (n // 5) + "--> tail",
    "comments before a long tail": lambda n: "<!--\n" * (n // 10) + "--> " + "tail" * (n // 8),
    "unclosed tables": lambda n: "<table>\n" * (n // 8),
    "fences": lambda n: "".join("`" * (3 + k % 50) + "x\n\n" for k in range(n // 30)),
    "one line of backticks": lambda n: "`" * n,
    "headings": lambda n: "# a\n" * (n // 4),
    "delimiters": lambda n: "|-|\n" * (n // 4),
    "blank lines": lambda n: "    x\n" + "\n" * n + "    y",
    "spaces": lambda n: "a" + " " * n + "b",
    "tags": lambda n: "<a " * (n // 3),
    "adornments": lambda n: "---\n" * (n // 4),
    "directives": lambda n: ".. a\n\n\n" * (n // 7),
    "data": lambda n: "data:image/png;base64," * (n // 22),
    "no spaces": lambda n: "字" * n,
    "accents": lambda n: "a" + "\u0301" * n,
    "emphasis": lambda n: "# " + "*_" * (n // 2),
}


@pytest.mark.parametrize("kind", ["markdown", "rst", "text"])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_time_grows_with_length_alone(name: str, kind: DocumentKind) -> None:
    text = ADVERSARIES[name](MEGA // 4)
    started = time.process_time()
    chunks(text, kind)
    assert time.process_time() - started < 2


def test_fifty_megabytes_in_one_line() -> None:
    text = "One sentence after the other, without a line end anywhere. 一句接着一句。" * (50 * MEGA // 75)
    started = time.process_time()
    found = chunks(text, "text")
    assert time.process_time() - started < 20
    assert len(found) > 40_000
    assert squeezed(found[-1].text) == squeezed(text)[-len(squeezed(found[-1].text)) :]
