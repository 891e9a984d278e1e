"""What a text file is: prose to index, or a stub, a licence, a list of requirements, a template, data. By content."""

import re

from ingest.blocks import front_matter

Verdict = tuple[str, str]  # a code of kb.records.WHY_SKIPPED and its detail

_HEAD = 64 * 1024  # characters that are judged: what a file is shows at its beginning

LICENCE_NAME = re.compile(r"(licen[cs]es?|copying|copyright|notice|unlicense)([-_.].*)?", re.IGNORECASE)
_LICENCE_TEXT = re.compile(
    r"permission is hereby granted|apache license|general public license|redistribution and use in source|"
    r"all rights reserved|creative commons|mit license|mozilla public|木兰宽松许可证|this product includes software",
    re.IGNORECASE,
)
_REQUIREMENT = re.compile(  # possessive, as a line that nearly fits may be long
    r"(-[a-z-]++ ?\S*+|[\w.-]++ *+(\[[\w., -]*+\])? *+([<>=!~]=?.*|@ .*|;.*|#.*)?|#.*|(git\+)?https?:\S+)"
)
_STUB = re.compile(
    r"(coming soon|to be (continued|added|written)|under construction|work in progress|todo|tbd|wip|"
    r"敬请期待|待补充|待完善|待更新|建设中|即将推出|施工中)\W*",
    re.IGNORECASE,
)
_HEADING = re.compile(r"#{1,6}(\s.*)?|([=\-~^\"'`*+#.:_])\2{2,}")

_TEMPLATE = re.compile(r"\{%[^%{}\n]*%\}|\{\{[^{}\n]*\}\}")
_NOT_PROSE_IN_TEMPLATE = re.compile(r"\s|\.\.|:[\w-]+:|\{|[=\-~]+$|$")

_ASKED = re.compile(r"^(q|question|pro[bm]?blem|request|问题?|题目) ?\d{0,4} ?[:：]", re.IGNORECASE | re.MULTILINE)
_WORKED_OUT = re.compile(
    r"let's think step by step|让我们一步一步|(so|therefore),? the answer is|(所以|因此),?，?答案是|\\boxed\{|"
    r"^(options|选项) ?[:：]|^\(A\) ?\S|^a ?[:：] ?\([A-Z]\)",
    re.IGNORECASE | re.MULTILINE,
)
_PHONETIC = re.compile(r"[\u0250-\u02ff]")
_LETTER = re.compile(r"[^\W\d_]")
_PATH = re.compile(r"[/\\.]")
_NUMBER = re.compile(r"[-+\d.,e%]+")
_CJK = re.compile(r"[\u3000-\u9fff]")
_SEPARATORS = {"\t": 1, ";": 1, "|": 2, ",": 2, ":": 2}  # and how many of them a row has at least
_SENTENCE = re.compile(r"\w[.!?](\s|$)|[。！？]|\b\w{2,}( [\w'’,-]+){7,}")


def verdict(name: str, folder: str, text: str) -> Verdict | None:
    """Why the text of file `name` (in a folder called `folder`) is left out, or None: it is prose.

    `text` is the whole file or its first 64 K characters.
    """
    text = text[:_HEAD]
    stem, _, extension = name.rpartition(".")
    lines = text.split("\n")
    lines = [line.strip() for line in lines[front_matter(lines) :] if line.strip()]
    if LICENCE_NAME.fullmatch(stem or name) and _LICENCE_TEXT.search(text):
        return "licence", ""
    if _is_stub(lines):
        return "empty", "nothing but a heading" if lines else "no text"
    if extension.lower() == "rst" and _TEMPLATE.search(text) and _is_template(text):
        return "data", "a template for generated pages"
    if extension.lower() != "txt":
        return None
    if name == "CMakeLists.txt":
        return "build-file", ""
    if re.search("require|constraint", f"{folder}/{name}", re.IGNORECASE) and all(map(_REQUIREMENT.fullmatch, lines)):
        return "build-file", ""
    what = _data(text, lines)
    return ("data", what) if what else None


def _is_stub(lines: list[str]) -> bool:
    """Headings, their underlines and "coming soon" are all there is."""
    if len(lines) > 8 or sum(map(len, lines)) > 400:
        return False
    underlined = {i - 1 for i, line in enumerate(lines) if i and _HEADING.fullmatch(line)}
    return all(i in underlined or _HEADING.fullmatch(line) or _STUB.fullmatch(line) for i, line in enumerate(lines))


def _is_template(text: str) -> bool:
    """Without its placeholders, directives and their options, hardly a line of a Jinja page is left."""
    kept = [line for line in _TEMPLATE.sub("{", text).split("\n") if not _NOT_PROSE_IN_TEMPLATE.match(line)]
    return sum(map(len, kept)) < len(text) / 3


def _data(text: str, lines: list[str]) -> str:
    """What kind of data the text of a .txt file is, or ""."""
    if len(_ASKED.findall(text)) >= 2 and len(_WORKED_OUT.findall(text)) >= 2:
        return "questions with worked answers"
    if len(_PHONETIC.findall(text)) * 20 > len(_LETTER.findall(text)):
        return "phonetic symbols"
    if all(map(_is_path_and_numbers, lines)):
        return "a list of paths or numbers"
    rows = [line for line in lines if not line.startswith("#")]
    sentences = sum(1 for row in rows if _SENTENCE.search(row))
    if len(rows) >= 5 and sentences < 0.2 * len(rows):
        for separator, least in _SEPARATORS.items():
            if sum(row.count(separator) >= least for row in rows) >= 0.9 * len(rows):
                return "a table of values"
    return ""


def _is_path_and_numbers(line: str) -> bool:
    path, *rest = line.split()
    return bool(_PATH.search(path)) and not _CJK.search(path) and all(map(_NUMBER.fullmatch, rest))
