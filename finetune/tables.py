"""Bytes → numbered rows: json, jsonl, csv and xlsx, told apart by what is in them."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from finetune.formats import ANSWER, QUESTION, Unparsed
from kb.decode import Undecodable, decode
from kb.errors import SourceError

_ZIP = b"PK\x03\x04"
_MOST_UNPACKED = 512 * 1024 * 1024  # bytes of an xlsx file, unpacked
_HEAD_ROWS = 10  # among which a table's head is looked for
Rows = Iterator[tuple[int, Any]]  # counted from 1


def read_rows(data: bytes, name: str) -> tuple[Rows, str]:
    """The rows and the encoding ("" for xlsx).

    Raises:
        SourceError: it is none of these, or cannot be decoded.
    """
    if data.startswith(_ZIP):
        return _table(_xlsx(data, name), name), ""
    try:
        text, encoding = decode(data)
    except Undecodable as error:
        raise SourceError(f"{name} is no text that can be read ({error}): send json, jsonl, csv or xlsx.") from error
    start = text.lstrip()[:1]
    if not start:
        raise SourceError(f"{name} is empty: send json, jsonl, csv or xlsx.")
    return (_json(text, name) if start in ("[", "{") else _table(_csv(text, name), name)), encoding


def _json(text: str, name: str) -> Rows:
    """A list of rows, an object that holds one under "data", or a row a line."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise SourceError(f"{name} is no JSON ({error}): mend it, or send a row a line.") from error
        return _lines(text)
    if isinstance(value, dict):
        value = value["data"] if isinstance(value.get("data"), list) else [value]
    return enumerate(value, start=1)


def _lines(text: str) -> Rows:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, Unparsed(f"no JSON ({error})")


def _csv(text: str, name: str) -> Iterator[Sequence[Any]]:
    head = text.partition("\n")[0]
    delimiter = max((",", "\t", ";", "，"), key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        yield from reader
    except csv.Error as error:
        raise SourceError(f"{name}:{reader.line_num} is no CSV ({error}): mend that line.") from error


def _xlsx(data: bytes, name: str) -> Iterator[Sequence[Any]]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_UNPACKED:
                raise SourceError(f"{name} unpacks to more than {_MOST_UNPACKED >> 20} MiB: send it as csv, in parts.")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        yield from book.worksheets[0].iter_rows(values_only=True)
    except SourceError:
        raise
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError, OSError, IndexError, SyntaxError) as error:
        # SyntaxError: what the XML parser raises
        raise SourceError(f"{name} is no Excel workbook that can be read ({error}): send it as xlsx or csv.") from error


def _table(lines: Iterator[Sequence[Any]], name: str) -> Rows:
    """Rows under the first line whose cells name a question and an answer; without one, the first two columns are these."""
    held: list[Sequence[Any]] = []
    for line in lines:
        held.append(line)
        head = [str(cell if cell is not None else "").strip().casefold() for cell in line]
        if any(key in head for key in (*QUESTION, "instruction")) and any(key in head for key in ANSWER):
            return _under(head, lines, len(held) + 1)
        if len(held) == _HEAD_ROWS:
            break
    if not any(len([cell for cell in line if cell not in (None, "")]) > 1 for line in held):
        raise SourceError(f"{name} has no columns of questions and answers: name two columns 'question' and 'answer'.")
    return _bare(held, lines)


def _under(head: list[str], lines: Iterator[Sequence[Any]], start: int) -> Rows:
    for number, line in enumerate(lines, start=start):
        row = {key: cell for key, cell in zip(head, line, strict=False) if key and cell is not None}
        if any(str(cell).strip() for cell in row.values()):
            yield number, row


def _bare(held: list[Sequence[Any]], lines: Iterator[Sequence[Any]]) -> Rows:
    for number, line in enumerate([*held, *lines], start=1):
        if any(cell not in (None, "") for cell in line):
            yield number, dict(zip(("question", "answer"), line, strict=False))
