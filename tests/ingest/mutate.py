"""Mutants: files as a bad disk, a cut connection, a broken program or somebody wicked leaves them, each made from a number.

`python -m tests.ingest.mutate NUMBER FILE` writes one again. They are made from the good files of nasty.py and from
what pandoc makes of one rich page.
"""

import io
import json
import random
import re
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.ingest import nasty
from tests.ingest.damage import BINARY_CHANGES, TEXT_CHANGES, flip, splice

ZIPPED = frozenset({"docx", "pptx", "xlsx", "epub", "odt", "zip"})
CHEAP = ("md", "md", "md", "txt", "txt", "rst", "rst", "ipynb", "jsonl", "pdf", "zip")  # no reader that takes seconds to start
FORMATS = (*CHEAP, *CHEAP, "pdf", "html", "html", "docx", "docx", "pptx", "xlsx", "epub", "odt")  # as often as each comes

_NAMES = {
    "md": ("a.md", "b.markdown"),
    "txt": ("a.txt", "README", "requirements.txt", "LICENSE.txt"),
    "html": ("a.html", "b.htm"),
}
_RICH = """---
title: A rich page
---

# The guide 指南

Words with *emphasis*, `code`, a [link](https://example.invalid/a_(b)) and a note[^1]. 一句中文。

[^1]: The note.

## Steps

1. First
   - nested
     - deeper

       ```python
       print("in a list")
       ```
2. Second

> A quotation
>
> > within another

| key | value |
| --- | ----- |
| a\\|b | 1 |
| 长 | 2 |

<table><tr><td>one</td><td>two</td></tr></table>

<!-- a comment -->

~~~text
# no heading
~~~

## Sums

$$a = b$$

Term
:   Its meaning.

---

The end: it is near.
"""
_ODD: tuple[Any, ...] = (
    *(None, True, -1, 10**400, 1e308, "", "\ud800", "a\0b", "a\n\x1b[2J", "x" * 70_000, [], {}, [[]], {"\ud800\n": 1}),
)


def format_of(number: int) -> str:
    """The format of a mutant; its name may say another."""
    return FORMATS[number % len(FORMATS)]


def mutant(number: int) -> tuple[str, bytes]:
    """The name and the bytes of a mutant: a seed with one to three changes."""
    chance, kind = random.Random(number), format_of(number)
    data = chance.choice(_seeds(kind))
    for _ in range(chance.choice((1, 1, 2, 3))):
        data = _change(chance, kind, data)
    return chance.choice(_NAMES.get(kind, (f"a.{kind}",))), data


def _change(chance: random.Random, kind: str, data: bytes) -> bytes:
    if kind in ZIPPED and chance.random() < 0.8:
        return _in_zip(chance, data)
    if kind in ("ipynb", "jsonl") and chance.random() < 0.5:
        return _in_json(chance, data)
    if chance.random() < 0.1:
        return splice(chance, data, chance.choice(_seeds(kind if chance.random() < 0.7 else chance.choice(CHEAP))))
    binary = kind in ZIPPED or kind == "pdf"
    return chance.choice(BINARY_CHANGES if binary else (*BINARY_CHANGES, *TEXT_CHANGES))(chance, data)


# Seeds


@cache
def _seeds(kind: str) -> list[bytes]:
    if kind == "zip":
        return _archives()
    found = [nasty.seed(f".{kind}")]
    if kind in ("md", "txt", "rst"):
        found += nasty.encoded().values()
    if kind in ("md", "txt"):
        found += [_RICH.encode(), _RICH.encode("utf-16"), _RICH.encode("gb18030"), _RICH.replace("\n", "\r\n").encode()]
    elif kind in ("rst", "ipynb", "html", "docx", "pptx", "epub", "odt"):
        found.append(nasty.through_pandoc(_RICH, kind))
    return [_settled(data) for data in found]


def _archives() -> list[bytes]:
    parts = {
        "docs/a.md": _RICH.encode(),
        "说明.txt": _RICH.encode(),
        "b.pdf": _seeds("pdf")[0],
        "../c.rst": b"x",
        "inner.zip": b"PK",
    }
    return [_packed(list(parts.items()), method) for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2)]


def _settled(data: bytes) -> bytes:
    """The time of day out of a seed, so that its mutants are the same tomorrow."""
    if data.startswith(b"PK"):
        return _packed([(name, _settled(part)) for name, part in _unpacked(data)], zipfile.ZIP_DEFLATED)
    data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", b"2000-01-01T00:00:00", data)
    data = re.sub(rb"D:\d{14}", b"D:20000101000000", data)
    return re.sub(rb"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda found: b"0" * len(found[0]), data)


def _unpacked(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        return [(info.filename, package.read(info)) for info in package.infolist()]


def _packed(parts: list[tuple[str, bytes]], method: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as package:
        for name, part in parts:
            package.writestr(zipfile.ZipInfo(name), part, method)
    return data.getvalue()


# Changes of structure


def _in_zip(chance: random.Random, data: bytes) -> bytes:
    """A member changed and all packed again with right checksums; damaged elsewhere already, it is left to flip."""
    try:
        parts = _unpacked(data)
    except Exception:  # zipfile raises whatever it likes
        return flip(chance, data)
    if not parts:
        return data
    at = chance.randrange(len(parts)) if chance.random() < 0.5 else max(range(len(parts)), key=lambda n: len(parts[n][1]))
    name, part = parts[at]
    what = chance.random()
    if what < 0.8:
        parts[at] = name, chance.choice((*BINARY_CHANGES, *TEXT_CHANGES))(chance, part)
    elif what < 0.88:
        del parts[at]
    elif what < 0.94:
        parts.append(
            (chance.choice((name, name.upper(), "../" * 3 + name, name + "\n" + "长" * 200, "/" + name, "a\\..\\b.md")), part)
        )
    else:
        chance.shuffle(parts)
    return _packed(parts, chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)))


def _in_json(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n") if data.count(b"\n{") else [data]
    at = chance.randrange(len(lines))
    if chance.random() < 0.1:
        depth = chance.choice((500, 100_000))
        lines[at] = b'{"id": ' + b"[" * depth + b"]" * depth + b"}"
        return b"\n".join(lines)
    try:
        tree = json.loads(lines[at])
    except (ValueError, RecursionError):
        return flip(chance, data)
    places = _places(tree)
    for holder, key in chance.sample(places, min(len(places), chance.choice((1, 1, 4)))):
        if isinstance(holder, dict) and chance.random() < 0.2:
            holder[chance.choice(("\ud800", "a\nb", "x" * 5000))] = holder.pop(key, None)
        else:
            holder[key] = chance.choice(_ODD)
    lines[at] = json.dumps(tree).encode()
    return b"\n".join(lines)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (list or dictionary, index or key) in a tree."""
    places: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        node = pending.pop()
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        places += [(node, key) for key in keys]
        pending += [node[key] for key in keys]
    return places


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(mutant(int(sys.argv[1]))[1])
