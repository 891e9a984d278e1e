"""The place that a question names: a source of the knowledge base, or a folder at the top of one (a repository among others)."""

import re
from collections.abc import Iterable

# Folders that every project has, whose names are words of any question.
_PLAIN = frozenset(
    "app apps bin code config configs data doc docs documentation en example examples lib model models notes scripts server src "
    "source sources static test tests tools ui zh zh_cn".split()
)
_SHORTEST = 3


class Places:
    """Finds names of `places`, (source, folder at its top), in questions."""

    def __init__(self, places: Iterable[tuple[str, str]]) -> None:
        names = {name.lower() for pair in places for name in pair}
        kept = sorted((name for name in names - _PLAIN if len(name) >= _SHORTEST), key=len, reverse=True)
        # Whole names alone: who says internlm2 or internlm-7b does not mean the folder internlm.
        edge = r"[A-Za-z0-9_.\-/]"
        self._names = re.compile(f"(?<!{edge})(?:{'|'.join(map(re.escape, kept))})(?!{edge})") if kept else None

    def named(self, question: str) -> frozenset[str]:
        """The places that a question names, in lower case."""
        return frozenset(self._names.findall(question.lower())) if self._names else frozenset()


def lies_in(named: frozenset[str], source: str, path: str) -> bool:
    """Whether a document lies in one of the places that are named."""
    return source.lower() in named or path.partition("/")[0].lower() in named
