"""The first passages once more, where the order is close: the embedding model reads the part of each that answers, if any does.

A chunk's vector says what its beginning is about. The paragraph, row or command in it that carries most of the question is
shorter than the model's input, and says by itself how near it is to the question.
"""

from collections.abc import Sequence

import numpy as np

from kb.embed import Embedder
from kb.fold import Passage
from kb.units import units
from kb.worth import Worth

WEIGHT = 0.5  # of a cosine beside the score, as a share of the best one
_CLOSE = 0.35  # cosines of two such parts seldom differ by more: a passage that is further behind stays there
_CHARS = 400  # of a part


def reread(
    ranked: Sequence[Passage], worth: Worth, vector: np.ndarray, trust: float, embedder: Embedder, depth: int
) -> list[Passage]:
    """`ranked` (joined, best first), where those of the first `depth` that are close to the best stand as their parts say.

    `worth` is that of the question, `vector` what was embedded of it (shape (dimension,)), `trust` how much of it that says, 0
    to 1.
    """
    if not ranked:
        return []
    unit = WEIGHT * trust * ranked[0].score
    close = [passage for passage in ranked[:depth] if passage.score > ranked[0].score - _CLOSE * unit]
    if len(close) > 1:
        nearness = embedder.passages([_part(passage, worth) for passage in close]) @ vector
        for passage, gain in zip(close, unit * (nearness - nearness.min()), strict=True):
            passage.score += float(gain)
            passage.joined = [(start, end, score + float(gain)) for start, end, score in passage.joined]
        close.sort(key=lambda passage: -passage.score)
    return [*close, *(passage for passage in ranked if passage not in close)]


def _part(passage: Passage, worth: Worth) -> str:
    """What the best chunk of a passage has to say to the question."""
    start, end, _ = max(passage.joined, key=lambda chunk: chunk[2])
    texts = [unit.text[:_CHARS] for unit in units(passage.chunk) if start <= unit.start <= end] or [passage.chunk.text[:_CHARS]]
    return max(texts, key=worth.share) if len(texts) > 1 else texts[0]
