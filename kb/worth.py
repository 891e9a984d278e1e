"""What the words of a question are worth in a knowledge base, and how much of that worth a text carries."""

import math
from collections.abc import Mapping

from kb.glossary import Glossary
from kb.index import Generation
from kb.words import words


class Worth:
    """A word is worth its weight times its inverse document frequency, or that of the rarest word where no document has it.

    A text that has what a word is called in the other language carries as much of its worth as that translation is sure.
    """

    def __init__(self, weights: Mapping[str, float], generation: Generation, glossary: Glossary | None = None) -> None:
        glossary = generation.learned.glossary if glossary is None else glossary
        total = max(1, generation.manifest.chunks)
        found = {word: generation.frequency(word) for word in weights}
        rarity = {word: math.log(1 + total / (0.5 + count)) for word, count in found.items() if count}
        rarest = max(rarity.values(), default=1.0)
        self._worth = {word: weight * rarity.get(word, rarest) for word, weight in weights.items()}
        self._translations = {word: others for word in weights if (others := glossary.translations(word))}
        self.total = sum(self._worth.values()) or 1.0
        absent = (word for word in weights if not found[word] and word not in self._translations)
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
