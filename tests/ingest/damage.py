"""Changes of bytes and of text, drawn at random: what damages a file, and what a parser trips over."""

import random
import re
from collections.abc import Callable
from pathlib import Path

SECRET = Path(__file__).parents[2] / "constraints.txt"  # what an entity names: its text must not come out

Change = Callable[[random.Random, bytes], bytes]

_BYTES = (
    *(b"\0", b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xff\xfe\0\0", b"\xed\xa0\x80", b"\x1b[2J", b"\x0c", b"\r"),
    *("\u202e\u2066\u200f", "\u2028\u2029\x85", "\u200b\ufeff", "e" + "\u0301" * 3000, "\U0001f469\u200d\U0001f467", "\ufffe"),
    *(b"A" * 70_000, b" " * 70_000, b"\n" * 20_000, "字".encode() * 30_000, b"](" * 3000, b"&#0;&#xD800;&#x110000;"),
)
_NUMBERS = (b"0", b"-1", b"1", b"65536", b"2147483648", b"99999999999999999999", b"1e309", b"NaN")
_MARKS = (
    *"``` ~~~~ <!-- --> <table> </table> <script> --- === $$ [ ]( | :: <h1> +---+ <![CDATA[ \\".split(" "),
    *("| - |", "<p a='", ".. note::", "{% if %}", ":::{toctree}", "=====  ====", ".. |a| image::", "    ", "\t"),
)
_NESTS = ("[", "![", "(", "{", "<b>", "<div>", "<table><tr><td>", "> ", "- ", "**", "`", "<!-- ", "<ul><li>", ".. note:: ")


def _span(chance: random.Random, data: bytes, most: int = 2000) -> tuple[int, int]:
    a = chance.randrange(len(data) + 1)
    return a, min(len(data), a + chance.randrange(1, most))


def flip(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 8, 64)) if data else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(chance: random.Random, data: bytes) -> bytes:
    a, b = _span(chance, data, 40)
    return data[:a] + chance.randbytes(b - a) + data[b:]


def _cut(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] if chance.random() < 0.8 else data[at:]


def _delete(chance: random.Random, data: bytes) -> bytes:
    a, b = _span(chance, data)
    return data[:a] + data[b:]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    a, b = _span(chance, data)
    return data[:a] + data[a:b] * chance.choice((2, 3, 50)) + data[b:]


def _swap(chance: random.Random, data: bytes) -> bytes:
    a, b, c = sorted(chance.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at, new = chance.choice((0, len(data), chance.randrange(len(data) + 1))), chance.choice(_BYTES)
    return data[:at] + (new.encode() if isinstance(new, str) else new) + data[at:]


def _renumber(chance: random.Random, data: bytes) -> bytes:
    numbers = list(re.finditer(rb"\d+", data[:200_000]))
    if not numbers:
        return data
    found = chance.choice(numbers)
    return data[: found.start()] + chance.choice(_NUMBERS) + data[found.end() :]


def splice(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


# Changes of text, in bytes that ASCII is the same in; elsewhere they are one more damage


def _line_again(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    return b"\n".join([*lines[:at], *[lines[at][:300]] * 10_000, *lines[at:]])


def _nest(chance: random.Random, data: bytes) -> bytes:
    at, mark, depth = chance.randrange(len(data) + 1), chance.choice(_NESTS), chance.choice((100, 5000))
    stairs = "".join(f"{'  ' * n}{mark}x\n" for n in range(min(depth, 1000)))
    deep = stairs if chance.random() < 0.3 else mark * depth
    return data[:at] + b"\n" + deep.encode() + data[at:]


def _mark(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.choice((1, 3, 20))):
        at = chance.choice((chance.randrange(len(data) + 1), data.rfind(b"\n", 0, chance.randrange(len(data) + 1)) + 1))
        data = data[:at] + chance.choice(_MARKS).encode() + chance.choice((b"", b"\n")) + data[at:]
    return data


def _join_lines(_: random.Random, data: bytes) -> bytes:
    return data.replace(b"\n", b"")


def _shuffle_lines(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


def _huge_table(chance: random.Random, data: bytes) -> bytes:
    at, columns, rows = chance.randrange(len(data) + 1), *chance.choice(((3, 10_000), (3000, 3)))
    if chance.random() < 0.3:
        row, head = b"<tr>" + b"<td>x</td>" * columns + b"</tr>\n", b"<table>"
    else:
        row, head = b"| x " * columns + b"|\n", b"| a " * columns + b"|\n" + b"| - " * columns + b"|\n"
    return data[:at] + b"\n" + head + row * rows + data[at:]


def _references(chance: random.Random, data: bytes) -> bytes:
    """Entities of entities, as in the laughter of a billion, and one that names a file."""
    names = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<!DOCTYPE x [<!ENTITY a0 "ha"><!ENTITY f SYSTEM "file://{SECRET}">{names}]>'.encode()
    at = data.find(b"?>") + 2 if b"?>" in data[:200] else 0
    inner = data.rfind(b"</", 0, chance.randrange(len(data) + 1))
    return data[:at] + head + data[at : max(at, inner)] + chance.choice((b"&a9;", b"&f;")) + data[max(at, inner) :]


BINARY_CHANGES: tuple[Change, ...] = (flip, _overwrite, _cut, _delete, _repeat, _swap, _insert, _renumber)
TEXT_CHANGES: tuple[Change, ...] = (_line_again, _nest, _mark, _join_lines, _shuffle_lines, _huge_table, _references)
