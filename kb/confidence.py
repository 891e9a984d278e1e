"""How sure it is that what was found holds the answer: a score that each generation calibrates on questions about itself.

Four signals of a question are weighed by a logistic regression. Each generation fits its own, on questions made of its own
sentences, on the same ones with the document that they came from taken away, and on foreign ones; towards weights (PRIOR)
that real questions gave. So a signal that says nothing in a knowledge base (a vector of a model that cannot read it) loses
its weight there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kb.records import document_of

Ranked = Sequence[tuple[str, float]]
PRIOR = (1.2, -0.6, 0.9, 0.6)  # of the signals, in standard deviations; set on questions about one corpus, see decisions
# What a name that was not found takes from the logit. Not fitted: made questions have no names of their own. Set as PRIOR is.
UNNAMED = 1.75
_HOLD = 20.0  # how strongly the prior is held to, where each kind of question counts as _EACH
_EACH = 100.0
_WITHOUT_ITS_DOCUMENT = 0.6  # weight of such a question: another document may answer it
_ROUNDS = 30


def signals(by_words: Ranked, by_vector: Ranked, unknown: float, known: float) -> tuple[float, float, float, float]:
    """Of a question: how well the best words match, the share of it that no document knows, how near the nearest vector is as
    far as the model reads the question, and how well both legs agree on a document.
    """
    strength = math.log1p(by_words[0][1]) if by_words else 0.0
    nearness = by_vector[0][1] * known if by_vector else 0.0
    ranks: list[dict[str, int]] = [{}, {}]
    for rank_of, leg in zip(ranks, (by_words, by_vector), strict=True):
        for rank, (id_, _) in enumerate(leg):
            rank_of.setdefault(document_of(id_), rank)
    both = ranks[0].keys() & ranks[1].keys()
    agreement = max((9 / ((ranks[0][key] + 3) * (ranks[1][key] + 3)) for key in both), default=0.0)
    return strength, unknown, nearness, agreement


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic regression on standardised signals."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def confidence(self, of: Sequence[float], unnamed: float = 0.0) -> float:
        """0 to 1. `unnamed`: the share of the question's names that no passage that was found has together with the others."""
        standard = ((value - mean) / spread for value, mean, spread in zip(of, self.mean, self.spread, strict=True))
        logit = self.bias + sum(weight * value for weight, value in zip(self.weights, standard, strict=True))
        logit -= UNNAMED * unnamed
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


# Of a knowledge base with too few sentences to calibrate by: what matters is whether its documents know the words.
BY_WORDS_ALONE = Calibration((0.0, 0.5, 0.0, 0.0), (1.0, 0.15, 1.0, 1.0), (0.0, -1.0, 0.0, 0.0), 0.0)


def calibrate(
    own: Sequence[Sequence[float]], without: Sequence[Sequence[float]], foreign: Sequence[Sequence[float]]
) -> Calibration:
    """Fit to the signals of own questions, of the same without their documents, and of foreign questions.

    Newton's method on the log-likelihood with a normal prior around PRIOR.
    """
    kinds = [np.array(kind, dtype=np.float64).reshape(-1, len(PRIOR)) for kind in (own, without, foreign)]
    centre = [kinds[0].mean(axis=0), kinds[2].mean(axis=0)]
    mean = (centre[0] + centre[1]) / 2
    spread = np.sqrt(sum(((kind - mean) ** 2).mean(axis=0) for kind in (kinds[0], kinds[2])) / 2) + 1e-9
    rows = np.concatenate(kinds)
    x = np.column_stack([(rows - mean) / spread, np.ones(len(rows))])
    y = np.concatenate([np.full(len(kind), float(n == 0)) for n, kind in enumerate(kinds)])
    shares = (1.0, _WITHOUT_ITS_DOCUMENT, 1.0)
    weight = np.concatenate([np.full(len(k), _EACH * share / max(1, len(k))) for k, share in zip(kinds, shares, strict=True)])
    prior = np.array([*PRIOR, 0.0])
    hold = np.diag([_HOLD] * len(PRIOR) + [1e-6])
    fitted = prior.copy()
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-x @ fitted))
        gradient = x.T @ (weight * (p - y)) + hold @ (fitted - prior)
        fitted -= np.linalg.solve((x * (weight * p * (1 - p))[:, None]).T @ x + hold, gradient)
    numbers = [tuple(round(float(value), 6) for value in vector) for vector in (mean, spread, fitted)]
    return Calibration(numbers[0], numbers[1], numbers[2][:-1], numbers[2][-1])
