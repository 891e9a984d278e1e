"""The tokens of a reply → the text that is shown: whole characters, up to a stop sequence, without what was thought aloud."""

from collections.abc import Callable, Sequence

_THINK, _THOUGHT = "<think>", "</think>"


class Characters:
    """Tokens one by one → text, which never ends in the middle of a character."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._said: list[int] = []  # the last tokens that were whole text: what comes next may look different without them
        self._new: list[int] = []
        self._sent = ""  # the text of both that was given out

    def add(self, token: int) -> str:
        """The text that is certain with this token."""
        self._new.append(token)
        text = self._decode(self._said + self._new)
        whole = text.rstrip("\ufffd")  # what may still become a character
        if not whole.startswith(self._sent):
            return ""
        piece, self._sent = whole[len(self._sent) :], whole
        if whole == text:
            self._said, self._new = self._new, []
            self._sent = self._decode(self._said)
        return piece

    def end(self) -> str:
        """What is left, though it is no whole character."""
        return self._decode(self._said + self._new)[len(self._sent) :] if self._new else ""


class Until:
    """Text piece by piece, up to the first of `stops`; what may be the start of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.met = False

    def add(self, text: str) -> str:
        self._held += text
        ends = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:
            self.met = True
            text, self._held = self._held[: min(ends)], ""
            return text
        keep = max((size for stop in self._stops for size in range(1, len(stop)) if self._held.endswith(stop[:size])), default=0)
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text

    def end(self) -> str:
        text, self._held = self._held, ""
        return text


class Unthought:
    """Text piece by piece without what a model thinks between <think> and </think>."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._first = True  # nothing shown yet: the blank lines after a thought are not shown either

    def add(self, text: str) -> str:
        self._held += text
        shown = ""
        while True:
            mark = _THOUGHT if self._thinking else _THINK
            before, found, after = self._held.partition(mark)
            if not found:
                break
            shown += "" if self._thinking else before
            self._held, self._thinking = after, not self._thinking
        keep = next((size for size in range(len(mark) - 1, 0, -1) if self._held.endswith(mark[:size])), 0)
        free, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return self._begun(shown + ("" if self._thinking else free))

    def end(self) -> str:
        held, self._held = self._held, ""
        return "" if self._thinking else self._begun(held)

    def _begun(self, text: str) -> str:
        if self._first:
            text = text.lstrip("\n")
            self._first = not text
        return text
