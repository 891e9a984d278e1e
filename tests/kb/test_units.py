"""The parts of a chunk that can be quoted by themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.records import Chunk
from kb.units import units


def chunk(text: str, start: int = 10) -> Chunk:
    return Chunk("id", "doc", 0, (), start, start + text.count("\n"), text)


def test_a_command_block_is_quoted_whole_with_what_introduces_it() -> None:
    text = "Some talk first.\n\nMerge the weights:\n\n```shell\nxtuner convert merge \\\n  $A $B\n```\n\nDone."
    found = units(chunk(text))
    assert [unit.kind for unit in found] == ["text", "code", "text"]
    assert found[1].text == "Merge the weights:\n\n```shell\nxtuner convert merge \\\n  $A $B\n```"
    assert (found[1].start, found[1].end) == (12, 17)


def test_a_line_with_a_colon_takes_its_list_along() -> None:
    found = units(chunk("可以调小的参数：\n\n- `hd_num`\n- `max_length`\n\n别的段落在这里。"))
    assert found[0].text == "可以调小的参数：\n- `hd_num`\n- `max_length`"
    assert (found[0].start, found[0].end) == (10, 13)


def test_an_indented_block_is_code_unless_it_belongs_to_a_list() -> None:
    found = units(chunk("Start it:\n\n    make run   # sets up\n\n    make test\n\nThat is all there is to it."))
    assert found[0].kind == "code"
    assert found[0].text.endswith("```\nmake run   # sets up\n\nmake test\n```")
    assert (found[0].start, found[0].end) == (10, 14)
    found = units(chunk("- an item of a list\n\n    its second paragraph, indented"))
    assert [unit.kind for unit in found] == ["text", "text"]


def test_rows_of_a_table_that_goes_on_stand_on_the_lines_that_they_have_in_the_document() -> None:
    text = "| flag | meaning |\n|---|---|\n| --tp | GPUs |\n| --port | port |"  # the header stands further up
    found = units(Chunk("id", "doc", 0, (), 40, 41, text))
    assert [(unit.start, unit.end) for unit in found if "tp" in unit.text or "port" in unit.text] == [(40, 40), (41, 41)]


def test_a_table_row_comes_with_its_header() -> None:
    found = units(chunk("| flag | meaning |\n|---|---|\n| --tp | GPUs |\n| --port | port |"))
    assert [unit.text for unit in found] == [
        "| flag | meaning |\n|---|---|\n| --tp | GPUs |",
        "| flag | meaning |\n|---|---|\n| --port | port |",
    ]
    assert (found[1].start, found[1].end) == (13, 13)


def test_long_paragraphs_are_quoted_by_the_sentence() -> None:
    text = "。".join(f"第{n}句话说的是一件有一定长度的事情" for n in range(40)) + "。"
    found = units(chunk(text))
    assert len(found) == 40
    assert all(unit.text.endswith("。") for unit in found)


@pytest.mark.parametrize("text", ["```", "~~~\n```", "|", "| |\n|-|", ":", "#", "- ", ":\n:\n:", "a:\n\n```\nx"])
def test_odd_chunks(text: str) -> None:
    for unit in units(chunk(text)):
        assert unit.text


@given(
    st.lists(
        st.sampled_from(["text.", "a: b:", "- item", "```", "| a | b |", "|---|", "", "# h", "中文：", "~~~", "  indented"]),
        max_size=30,
    )
)
def test_units_stay_inside_their_chunk_in_order(lines: list[str]) -> None:
    own = chunk("\n".join(lines))
    found = units(own)
    for unit in found:
        assert own.start <= unit.start <= unit.end <= own.end
        assert unit.text.strip()
    assert [unit.start for unit in found] == sorted(unit.start for unit in found)
