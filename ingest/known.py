"""Vectors that need not be computed again: those in the live generations of all knowledge bases.

They are a cache without a file of its own. What is indexed anywhere, under any path, is embedded once; what is indexed
nowhere any more costs no disk.
"""

import sqlite3
from collections.abc import Sequence

import numpy as np

from kb.base import KnowledgeBase, generation_folder
from kb.catalog import Catalog
from kb.embed import Fingerprint
from kb.errors import BaseError
from kb.index import Generation
from kb.manifest import read_manifest
from kb.settings import Settings
from kb.state import State


class KnownVectors:
    """Vectors of `fingerprint`. Catalogues are asked first: an index is opened only for vectors that it has."""

    def __init__(self, settings: Settings, fingerprint: Fingerprint) -> None:
        self._catalogs: list[Catalog] = []
        self._opened: dict[int, Generation] = {}
        state = State(settings)
        for name in KnowledgeBase.names(settings):
            number = state.live(name)
            if number is None:
                continue
            folder = generation_folder(KnowledgeBase(name, settings).folder, number)
            try:
                if read_manifest(folder).fingerprint == fingerprint:
                    self._catalogs.append(Catalog(folder))
            except (BaseError, sqlite3.Error):
                continue  # a damaged index of another knowledge base is not this run's business

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Hash of an embedded text → its vector, shape (dimension,), for those that are known."""
        found: dict[bytes, np.ndarray] = {}
        for at, catalog in enumerate(self._catalogs):
            holders = catalog.embedded([hash_ for hash_ in hashes if hash_ not in found])
            if not holders:
                continue
            if at not in self._opened:
                self._opened[at] = Generation(catalog.folder)
            stored = self._opened[at].stored_vectors(list(holders.values()))
            found |= {hash_: stored[id_] for hash_, id_ in holders.items() if id_ in stored}
        return found

    def close(self) -> None:
        for generation in self._opened.values():
            generation.close()
        for catalog in self._catalogs:
            catalog.close()
