"""Vectors that need not be computed again: those in the live generations of all knowledge bases.

They are a cache without a file of its own. What is indexed anywhere, under any path, is embedded once; what is indexed
nowhere any more costs no disk.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from kb.base import KnowledgeBase, generation_folder
from kb.embed import Fingerprint
from kb.errors import BaseError
from kb.index import Generation
from kb.segment import Segment
from kb.settings import Settings
from kb.state import State


class KnownVectors:
    """Vectors of `fingerprint`. Chroma is opened only for those segments that have some."""

    def __init__(self, settings: Settings, fingerprint: Fingerprint) -> None:
        self._generations: list[Generation] = []
        state = State(settings)
        for name in KnowledgeBase.names(settings):
            number = state.live(name)
            if number is None:
                continue
            try:
                generation = Generation(generation_folder(KnowledgeBase(name, settings).folder, number))
            except BaseError:
                continue  # a damaged index of another knowledge base is not this run's business
            if generation.manifest.fingerprint == fingerprint:
                self._generations.append(generation)

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Hash of an embedded text → its vector, shape (dimension,), for those that are known."""
        found: dict[bytes, np.ndarray] = {}
        for generation in self._generations:
            try:
                held: defaultdict[Segment, dict[bytes, str]] = defaultdict(dict)
                for hash_, (segment, id_) in generation.embedded([hash_ for hash_ in hashes if hash_ not in found]).items():
                    held[segment][hash_] = id_
                for segment, ids in held.items():
                    stored = segment.vectors(list(ids.values()))
                    found |= {hash_: stored[id_] for hash_, id_ in ids.items() if id_ in stored}
            except BaseError:
                continue  # what a damaged index knows is embedded again
        return found
