"""Sentences that the terminal shows as they are, and the page in its own language."""

from typing import Any


class Remark(str):
    """A sentence, with a code that names what it says and the values that stand in it."""

    code: str
    values: dict[str, Any]

    def __new__(cls, sentence: str, code: str, **values: Any) -> "Remark":
        made = super().__new__(cls, sentence)
        made.code, made.values = code, values
        return made
