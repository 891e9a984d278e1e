"""A Jupyter notebook to Markdown: its words as they are, its code in fences, its text outputs in short."""

import json
import re
from typing import Any

_OUTPUT_LINES = 20  # of each output: enough for a result, not for a training log
_OUTPUT_CHARS = 2000
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_EMBEDDED = re.compile(r"!\[[^\[\]]*\]\((?:data:|attachment:)[^()]*\)")


def notebook_to_markdown(text: str) -> str:
    """Markdown of a notebook of format 3 or 4. Images and HTML outputs are left out.

    Raises:
        ValueError: it is no JSON, or JSON that is no notebook.
    """
    try:
        book = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    cells = _cells(book)
    language = _language(book)
    parts = [part for cell in cells if isinstance(cell, dict) for part in _render(cell, language)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cells(book: Any) -> list[Any]:
    if isinstance(book, dict):
        sheets = book.get("worksheets")  # format 3
        cells = (sheets[0] if isinstance(sheets, list) and sheets and isinstance(sheets[0], dict) else book).get("cells")
        if isinstance(cells, list):
            return cells
    raise ValueError("JSON, but no notebook: it has no cells")


def _language(book: dict[str, Any]) -> str:
    metadata = book.get("metadata")
    for part, name in (("language_info", "name"), ("kernelspec", "language")):
        value = metadata.get(part) if isinstance(metadata, dict) else None
        if isinstance(value, dict) and isinstance(value.get(name), str) and re.fullmatch(r"[\w+#.-]{1,30}", value[name]):
            return str(value[name])
    return "python"


def _render(cell: dict[str, Any], language: str) -> list[str]:
    source = _joined(cell.get("source", cell.get("input"))).strip("\n")
    kind = cell.get("cell_type")
    if kind == "code":
        outputs = cell.get("outputs")
        shown = [_output(output) for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
        return [_fenced(source, language), *(_fenced(output, "text") for output in shown)]
    if kind == "heading":  # format 3
        level = cell.get("level")
        return ["#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1) + " " + source]
    return [_EMBEDDED.sub("", source)]


def _output(output: dict[str, Any]) -> str:
    """The beginning of the text of an output; an error gives its name and message, not its trace."""
    if output.get("output_type") in ("error", "pyerr"):
        return f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"[:_OUTPUT_CHARS]
    data = output.get("data")
    text = _joined(output.get("text") or (data.get("text/plain") if isinstance(data, dict) else None))
    lines = _ANSI.sub("", text).strip("\n").split("\n")
    shown = "\n".join(line.rpartition("\r")[2] for line in lines[:_OUTPUT_LINES])  # a progress bar: its last state
    return shown[:_OUTPUT_CHARS] + ("\n…" if len(lines) > _OUTPUT_LINES or len(shown) > _OUTPUT_CHARS else "")


def _joined(value: Any) -> str:
    """nbformat writes a text as a string or as a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _fenced(code: str, language: str) -> str:
    if not code.strip():
        return ""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"
