"""What the words of a question are worth in a knowledge base, and how much of that worth a text carries."""

import math
from collections.abc import Iterable, Mapping, Sequence

from kb.index import Generation
from kb.translate import Translator
from kb.words import words


def rarity(word: str, generation: Generation) -> float:
    """The inverse document frequency of a word, also of one that no document has."""
    return math.log(1 + max(1, generation.manifest.chunks) / (0.5 + generation.frequency(word)))


def apart(words: Iterable[str], among: Sequence[str], generation: Generation) -> float:
    """The share of the worth of `words` that is missing in whichever of the chunks `among` has most of it, 0 to 1."""
    worth = {word: rarity(word, generation) for word in words}
    return 1 - generation.together(worth, among) / sum(worth.values()) if worth else 0.0


class Worth:
    """A word is worth its weight times its inverse document frequency, or that of the rarest word where no document has it.

    A text that has what a word is called in the other language carries as much of its worth as that translation is sure.
    """

    def __init__(self, weights: Mapping[str, float], generation: Generation, translator: Translator | None = None) -> None:
        translator = translator or generation.translator
        found = {word: rarity(word, generation) for word in weights if generation.frequency(word)}
        rarest = max(found.values(), default=1.0)
        self._worth = {word: weight * found.get(word, rarest) for word, weight in weights.items()}
        self._translations = {word: others for word in weights if (others := translator.translations(word))}
        self.total = sum(self._worth.values()) or 1.0
        absent = (word for word in weights if word not in found and word not in self._translations)
        self.unknown = sum(self._worth[word] for word in absent) / self.total  # share that no document can carry

    def __len__(self) -> int:
        return len(self._worth)

    def of(self, text: str) -> dict[str, float]:
        """The question's words that `text` has, each with the worth that it carries."""
        there = set(words(text))
        carried = {word: self._worth[word] for word in self._worth.keys() & there}
        for word, others in self._translations.items():
            if word not in carried and (sure := max((worth for other, worth in others if other in there), default=0.0)):
                carried[word] = sure * self._worth[word]
        return carried

    def share(self, text: str) -> float:
        """The share of the question that `text` carries, 0 to 1."""
        return sum(self.of(text).values()) / self.total
