"""A chunk to the parts that can be quoted by themselves: paragraphs, list items, table rows, whole blocks of code."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kb.records import Chunk, first_line

_PARAGRAPH = 400  # characters; a longer one is cut into its sentences
_LED = 1000  # characters of a list or block that belongs to the line that introduces it

FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_SENTENCE = re.compile(r".+?(?:[。！？!?；]+[”’」』）)]*|\.(?=\s|$)|$)\s*", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)、])\s+")
_NO_TEXT = re.compile(r"\s*(?:#|<!--|:::|\.\.(?:\s|$)|[-=|:+~^\s]+$)")  # headings, markers, rules, table borders


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a chunk that can be quoted by itself: a text, a table row, or a code block with what introduces it."""

    kind: Literal["text", "row", "code"]
    text: str
    start: int  # lines of the document, inclusive
    end: int


def units(chunk: Chunk) -> list[Unit]:
    """The paragraphs (sentences of long ones), list items, table rows and code blocks of a chunk, in order.

    A line that ends in a colon takes along the list or block that it introduces.
    """
    found: list[Unit] = []
    in_list = False  # the last unit is a list with the line that introduces it
    for block in _blocks(chunk):
        before, item = found[-1] if found else None, bool(_BULLET.match(block.text))
        led = before is not None and before.kind == "text" and (_introduces(before) or block.kind == "code" or (in_list and item))
        if before and led and len(before.text) + len(block.text) <= _LED:
            gap = "" if item else "\n"
            kind = "code" if block.kind == "code" else before.kind
            found[-1] = Unit(kind, f"{before.text}\n{gap}{block.text}", before.start, block.end)
            in_list = item
        else:
            found.append(block)
            in_list = False
    return [part for unit in found for part in (_sentences(unit) if unit.kind == "text" else [unit])]


def _introduces(unit: Unit) -> bool:
    return unit.text.rstrip(" *`").endswith((":", "："))


def _blocks(chunk: Chunk) -> Iterator[Unit]:
    lines = chunk.text.split("\n")
    # A table that goes on here begins with its header lines again, which stand further up in the document.
    first = first_line(chunk.start, chunk.end, chunk.text)
    at, header, in_list = 0, "", False
    while at < len(lines):
        line, number, end = lines[at], max(first + at, chunk.start), at
        if fence := FENCE.match(line):
            mark = fence.group(1)
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip().startswith(mark)), len(lines) - 1)
            yield Unit("code", "\n".join(lines[at : end + 1]), number, first + end)
        elif line.startswith("    ") and line.strip() and not in_list:
            end = max(i for i in range(at, _indented_to(lines, at)) if lines[i].strip())
            code = textwrap.dedent("\n".join(lines[at : end + 1]))
            yield Unit("code", f"```\n{code}\n```", number, first + end)
        elif line.lstrip().startswith("|") and not _NO_TEXT.fullmatch(line):
            if not (at and lines[at - 1].lstrip().startswith("|")):
                header = line.strip()
            else:
                rule = re.sub(r"[^|]+", "---", header)
                yield Unit("row", f"{header}\n{rule}\n{line.strip()}", number, number)
        elif line.strip() and not _NO_TEXT.match(line):
            while end + 1 < len(lines) and _continues(lines[end + 1]):
                end += 1
            in_list = bool(_BULLET.match(line)) or (in_list and line.startswith(" "))
            yield Unit("text", "\n".join(lines[at : end + 1]).strip(), number, first + end)
        at = end + 1


def _indented_to(lines: list[str], at: int) -> int:
    """Where the indented block that starts at `at` ends, exclusive."""
    return next((i for i in range(at, len(lines)) if lines[i].strip() and not lines[i].startswith("    ")), len(lines))


def _continues(line: str) -> bool:
    """Whether a line goes on with the paragraph before it."""
    return bool(line.strip()) and not (
        FENCE.match(line) or _BULLET.match(line) or _NO_TEXT.match(line) or line.lstrip().startswith("|")
    )


def _sentences(unit: Unit) -> Iterator[Unit]:
    if len(unit.text) <= _PARAGRAPH:
        yield unit
        return
    for match in _SENTENCE.finditer(unit.text):
        if text := match.group().strip():
            start = unit.start + unit.text.count("\n", 0, match.start())
            yield Unit("text", text, start, start + text.count("\n"))
