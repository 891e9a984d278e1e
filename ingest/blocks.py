"""The lines of a Markdown or plain text to blocks: headings, prose, code, tables, and what is no text to index.

One pass over the lines; an end that was looked for and not found is remembered, so time grows with length alone.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

BlockKind = Literal["heading", "prose", "code", "table", "drop"]

LONGEST_HEADING = 200  # characters: a longer line is prose, whatever it looks like


class Block(NamedTuple):
    """Lines `start` to `end` (from 0, `end` exclusive). Code and tables are kept whole; `drop` is not indexed.

    A heading has a `level` from 1 and a `title` without markup; a table has `header` lines to repeat.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    title: str = ""
    header: int = 0


_YAML = re.compile(r"[\w-]+ *:|\s|- |#|$")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_HTML_HEADING = re.compile(r"\s*<h([1-6])[^<>]*>(.*)</h\1>\s*$", re.IGNORECASE)
_FENCE = re.compile(r"\s*(?:[-*+] +|\d{1,9}[.)] +)?(`{3,}|~{3,}|:{3,}(?=\{toctree))(.*)$")
_LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_NUMERAL = "[0-9一二三四五六七八九十百千零〇]{1,7}"
_CHAPTER = re.compile(rf"(第{_NUMERAL}[编篇章部])|第{_NUMERAL}节|[一二三四五六七八九十]{{1,3}}、")

_MARKUP = (
    (re.compile(r"!\[[^\[\]]*\]\([^()]*\)"), ""),
    (re.compile(r"\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])"), r"\1"),
    (re.compile(r"(?::[\w:+.-]{1,40}:)?`([^`<]*[^`< ]) *<[^<>`]*>`_{0,2}"), r"\1"),  # rst: `words <where>`_, :ref:`…`
    (re.compile(r":[a-z][\w:+.-]{1,40}:`([^`]*)`"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^<>]*>"), ""),
    (re.compile(r"\s(?:\{[#.][^{}]*\}|#+)\s*$"), ""),
    (re.compile(r"\*+|`+_{0,2}|~~|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)"), ""),
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)


def plain(title: str) -> str:
    """A heading without its markup: links give their words; emphasis, code marks, images and tags go."""
    for pattern, kept in _MARKUP:
        title = pattern.sub(kept, title)
    return " ".join(title.split())


def markdown(lines: list[str]) -> Iterator[Block]:
    """Blocks of Markdown with MyST directives, front matter, HTML tables and comments."""
    at = front_matter(lines)
    if at:
        yield Block("drop", 0, at)
    ends = _Ends(lines)
    in_list = False
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        block = _special(lines, at, ends)
        if block is None and not in_list and line.startswith(("    ", "\t")):
            block = Block("code", at, _indented(lines, at))
        elif block is None:
            block = _paragraph(lines, at, ends)
            in_list = bool(_LIST_ITEM.match(line)) or (in_list and line[0] in " \t")
        if block.kind == "heading":
            in_list = False
        yield block
        at = block.end


def text(lines: list[str]) -> Iterator[Block]:
    """Blocks of plain text: paragraphs, underlined headings and numbered Chinese ones."""
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        level, end = _text_heading(lines, at)
        if level:
            yield Block("heading", at, end, level, lines[at].strip())
        else:
            end = at + 1
            while end < len(lines) and lines[end].strip() and not _text_heading(lines, end)[0]:
                end += 1
            yield Block("prose", at, end)
        at = end


def front_matter(lines: list[str]) -> int:
    """How many lines of YAML between `---` marks the text begins with."""
    if lines[0].rstrip() != "---":
        return 0
    for at in range(1, len(lines)):
        if lines[at].rstrip() in ("---", "..."):
            return at + 1
        if not _YAML.match(lines[at]):
            break
    return 0


def underline(line: str) -> str:
    """The one character that `line` consists of, if it is punctuation three times or more; else ""."""
    line = line.rstrip()
    mark = line[:1]
    return mark if len(line) >= 3 and mark in "=-`:.'\"~^_*+#<>" and line.count(mark) == len(line) else ""


class _Ends:
    """Looks for the end of what a line begins, and remembers where it is, or that there is none further down."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._absent: set[str] = set()
        self._found: dict[str, tuple[int, bool]] = {}

    def find(self, start: int, needle: str) -> tuple[int, bool]:
        """The first line from `start` on that holds `needle` (in lower case), or -1; and whether it ends with it."""
        nowhere = -1, False
        if self._found.get(needle, nowhere)[0] >= start:
            return self._found[needle]
        if needle not in self._absent:
            for at in range(start, len(self._lines)):
                line = self._lines[at].lower()
                if needle in line:
                    self._found[needle] = at, line.rstrip().endswith(needle)
                    return self._found[needle]
            self._absent.add(needle)
        return nowhere

    def fence(self, start: int, fence: str) -> int:
        """The line after the one that closes `fence`; as in CommonMark, the end of the text where none does."""
        if fence not in self._absent:
            for at in range(start, len(self._lines)):
                line = self._lines[at].strip()
                if line.startswith(fence) and line.count(fence[0]) == len(line):
                    return at + 1
            self._absent.add(fence)
        return len(self._lines)


def _special(lines: list[str], at: int, ends: _Ends) -> Block | None:
    """What is no paragraph: a heading, a fence, a table, a comment, or None."""
    line = lines[at]
    mark = line.lstrip()[:1]
    if mark == "#":
        match = _ATX.match(line)
        if match and len(line) <= LONGEST_HEADING:
            return Block("heading", at, at + 1, len(match[1]), plain(match[2] or ""))
    elif mark == "<":
        return _html(lines, at, ends)
    elif mark in "`~:-*+0123456789":
        match = _FENCE.match(line)
        if match and not (match[1][0] == "`" and "`" in match[2]):
            end = ends.fence(at + 1, match[1])
            return Block("drop" if match[2].startswith("{toctree") else "code", at, end)
    if "|" in line and at + 1 < len(lines) and _is_delimiter(lines[at + 1]):
        end = at + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        return Block("table", at, end, header=2)
    return None


def _html(lines: list[str], at: int, ends: _Ends) -> Block | None:
    line = lines[at].lstrip().lower()
    if line.startswith("<h") and len(line) <= LONGEST_HEADING:
        match = _HTML_HEADING.match(lines[at])
        title = plain(match[2]) if match else ""
        return Block("heading", at, at + 1, int(match[1]), title) if match and title else None
    for opening, closing, kind in _HTML_BLOCKS:
        if line.startswith(opening):
            last, whole = ends.find(at, closing)
            if last < 0 or (kind == "drop" and not whole):
                return None
            return Block(kind, at, last + 1)
    return None


_HTML_BLOCKS: tuple[tuple[str, str, BlockKind], ...] = (
    ("<!--", "-->", "drop"),
    ("<table", "</table>", "table"),
    ("<script", "</script>", "drop"),
    ("<style", "</style>", "drop"),
    ("<svg", "</svg>", "drop"),
)


def _is_delimiter(line: str) -> bool:
    """The row of dashes under the head of a pipe table."""
    return "|" in line and "-" in line and not line.strip("|:- \t")


def _indented(lines: list[str], at: int) -> int:
    """The end of an indented code block; blank lines belong to it when more code follows."""
    end = at + 1
    for below in range(at + 1, len(lines)):
        if lines[below].startswith(("    ", "\t")) and lines[below].strip():
            end = below + 1
        elif lines[below].strip():
            break
    return end


def _paragraph(lines: list[str], at: int, ends: _Ends) -> Block:
    """A paragraph, or the heading that it is when a line of = or - is under its only line."""
    end = at + 1
    while end < len(lines) and lines[end].strip():
        line = lines[end]
        mark = underline(line.lstrip()) if line.lstrip()[0] in "=-" else ""
        if mark and end == at + 1 and _may_be_heading(lines[at]):
            return Block("heading", at, end + 1, 1 if mark == "=" else 2, plain(lines[at]))
        if _special(lines, end, ends):
            break
        end += 1
    return Block("prose", at, end)


def _may_be_heading(line: str) -> bool:
    return len(line) <= LONGEST_HEADING and line[0] not in " \t>|<" and not _LIST_ITEM.match(line)


def _text_heading(lines: list[str], at: int) -> tuple[int, int]:
    """The level of the heading that begins at this line of plain text, or 0, and the line after it."""
    line = lines[at].strip()
    if len(line) > 60 or not line:
        return 0, at
    if at + 1 < len(lines) and line[0].isalnum():
        mark = underline(lines[at + 1])
        if mark in ("=", "-"):
            return 1 if mark == "=" else 2, at + 2
    chapter = _CHAPTER.match(line)
    if chapter and len(line) <= 40 and line[-1] not in "。；，、;,.":
        return 1 if chapter[1] else 2, at + 1
    return 0, at
