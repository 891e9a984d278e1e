"""The lines of a reStructuredText document to blocks, in one pass."""

import re
from collections.abc import Iterator

from ingest.blocks import LONGEST_HEADING, Block, BlockKind, plain, underline

_DIRECTIVE = re.compile(r"\s*\.\. (?:\|[^|]+\| )?([\w:+.-]+)::")
_FOOTNOTE = re.compile(r"\s*\.\. \[[^\[\]]+\] ")
_SIMPLE_TABLE = re.compile(r"={2,}(?: +={2,})+\s*$")
_TABLES = frozenset({"list-table", "table", "csv-table"})
_PROSE = frozenset({"note", "tip", "hint", "warning", "important", "attention", "caution", "danger", "admonition"})
_NOT_TEXT = frozenset(
    "toctree raw image meta role default-role currentmodule module highlight contents include unicode replace index "
    "sectnum tabularcolumns".split()
)


def rst(lines: list[str]) -> Iterator[Block]:
    """Blocks of reStructuredText. The levels of its headings are the order in which their adornments first occur."""
    styles: list[tuple[str, bool]] = []
    at = 0
    literal = False  # the paragraph above ended in "::"
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        heading = _heading(lines, at)
        if heading:
            style, title, end = heading
            if style not in styles:
                styles.append(style)
            block = Block("heading", at, end, styles.index(style) + 1, plain(title))
        elif literal and line[0] in " \t":
            block = Block("code", at, _below(lines, at, 1))
        else:
            block = _explicit(lines, at) or _table(lines, at) or _paragraph(lines, at)
        literal = block.kind == "prose" and lines[block.end - 1].rstrip().endswith("::")
        yield block
        at = block.end


def _heading(lines: list[str], at: int) -> tuple[tuple[str, bool], str, int] | None:
    """((adornment, whether it is above too), title, line after it) of the heading that begins here."""
    above = underline(lines[at])
    title_at = at + 1 if above else at
    if title_at + 1 >= len(lines) or not lines[title_at].strip():
        return None
    title, mark = lines[title_at], underline(lines[title_at + 1])
    if not mark or (above and above != mark) or (not above and title[0] in " \t") or underline(title):
        return None
    if len(title) > LONGEST_HEADING:
        return None
    return (mark, bool(above)), title, title_at + 2


def _explicit(lines: list[str], at: int) -> Block | None:
    """A directive, comment, target or footnote, with all that is indented below it."""
    line = lines[at].strip()
    if not line.startswith(".. ") and line != "..":
        return None
    end = _below(lines, at, len(lines[at]) - len(lines[at].lstrip()) + 1)
    match = _DIRECTIVE.match(lines[at])
    kind: BlockKind = "code"
    if match is None:
        kind = "prose" if _FOOTNOTE.match(lines[at]) else "drop"
    elif match[1] in _NOT_TEXT:
        kind = "drop"
    elif match[1] in _TABLES:
        kind = "table"
    elif match[1] in _PROSE:
        kind = "prose"
    elif match[1] == "figure":  # its caption is text
        below = (line.strip() for line in lines[at + 1 : end])
        kind = "prose" if any(line and not line.startswith(":") for line in below) else "drop"
    return Block(kind, at, end)


def _below(lines: list[str], at: int, indent: int) -> int:
    """The end of what is indented by `indent` or more below line `at`, with the blank lines within."""
    end = at + 1
    for below in range(at + 1, len(lines)):
        line = lines[below].rstrip()
        if line and len(line) - len(line.lstrip()) < indent:
            break
        if line:
            end = below + 1
    return end


def _table(lines: list[str], at: int) -> Block | None:
    """A grid table, or a simple one between lines of `===  ===`."""
    line = lines[at].strip()
    if not (line.startswith(("+-", "+=")) and line.endswith("+")) and not _SIMPLE_TABLE.match(line):
        return None
    end = at + 1
    while end < len(lines) and lines[end].strip():
        end += 1
    return Block("table", at, end)


def _paragraph(lines: list[str], at: int) -> Block:
    end = at + 1
    while end < len(lines) and lines[end].strip() and not _heading(lines, end):
        end += 1
    return Block("prose", at, end)
