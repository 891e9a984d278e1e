"""A question in the other language, word by word: as the twins of a knowledge base say it, and where they do not, as the
dictionary does.

Of the dictionary only what the documents have is used, in a language that they are written in.
"""

from collections.abc import Callable, Mapping

from kb import dictionary
from kb.glossary import Glossary
from kb.words import CHINESE, CHINESE_RUN, STOP_ZH, cut_chinese

WIDENED = 0.6  # weight of a translation that is certain, beside a word that the documents have as well
_A_LANGUAGE = 0.05  # share of the documents: less is no language that they are written in
_MOST = 5  # translations of a word out of the dictionary
_LEAST = 0.05  # that one must be worth
_KEPT = 10_000  # words that were looked up


class Translator:
    """`frequency` says how many chunks of the knowledge base have a word, `chinese` what share of its documents are in Chinese;
    without that the dictionary is not used.
    """

    def __init__(self, glossary: Glossary, frequency: Callable[[str], int], chinese: float | None = None) -> None:
        self._glossary = glossary
        self._frequency = frequency
        self._to_english = chinese is not None and chinese <= 1 - _A_LANGUAGE
        self._to_chinese = chinese is not None and chinese >= _A_LANGUAGE
        self._looked_up: dict[str, list[tuple[str, float]]] = {}

    def translations(self, word: str) -> list[tuple[str, float]]:
        """What a word is called in the other language, each with what that is worth, 0 to 1; best first."""
        found = self._looked_up.get(word)
        if found is None:
            found = self._glossary.translations(word) or self._in_the_dictionary(word)
            if len(self._looked_up) >= _KEPT:
                self._looked_up.clear()
            self._looked_up[word] = found
        return found

    def widened(self, weighted: Mapping[str, float]) -> dict[str, float]:
        """The words to look for, and what they are called in the other language: for words that no document has, in their
        place.
        """
        wide = dict(weighted)
        for word, weight in weighted.items():
            if others := self.translations(word):
                share = WIDENED if self._frequency(word) else 1.0
                for other, worth in others:
                    wide[other] = max(wide.get(other, 0.0), share * worth * weight)
        return wide

    def in_english(self, text: str) -> tuple[str, float]:
        """`text` with its Chinese words put into English, unknown ones left out; and the share of them that is known."""
        parts: list[str] = []
        end = put = missing = 0
        for run in CHINESE_RUN.finditer(text):
            parts.append(text[end : run.start()])
            for word in cut_chinese(run.group()):
                others = self.translations(word)
                parts += [other for other, _ in others[:1]]
                if word not in STOP_ZH:  # as "use" it helps, but it says nothing
                    put += bool(others)
                    missing += not others
            end = run.end()
        return " ".join(" ".join((*parts, text[end:])).split()), put / max(1, put + missing)

    def _in_the_dictionary(self, word: str) -> list[tuple[str, float]]:
        """A translation is worth the more, the more of the documents that have it or the word have it."""
        if CHINESE.match(word):
            others = dictionary.english(word) if self._to_english else {}
        else:
            others = dictionary.chinese(word) if self._to_chinese else {}
        counts = {other: count for other in others if (count := self._frequency(other))}
        if not counts:
            return []
        own = self._frequency(word)
        worths = [(other, round(others[other] * count / (count + own), 3)) for other, count in counts.items()]
        return sorted((pair for pair in worths if pair[1] >= _LEAST), key=lambda pair: -pair[1])[:_MOST]
