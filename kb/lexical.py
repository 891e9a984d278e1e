"""The lexical leg of a generation: a tantivy index over the words of its chunks.

Tantivy never changes a file it has written, so the index of the next generation begins as hard links to this one's.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kb.segment import damaged

ABOVE = 0.3  # what a word weighs that also stands in the path, the title or a heading, beside its weight as such


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("document", tokenizer_name="raw", index_option="basic")
    for field in ("words", "above"):
        builder.add_text_field(field, tokenizer_name="whitespace", index_option="freq")
    return builder.build()


class LexicalIndex:
    """Open for reading by any number of threads. Raises BaseError when a file is missing or damaged."""

    def __init__(self, folder: Path) -> None:
        import tantivy

        self._folder = folder
        self._schema = _schema()
        with damaged(folder):
            self._searcher = tantivy.Index(self._schema, path=str(folder)).searcher()

    def search(self, weighted: Mapping[str, float], limit: int) -> list[tuple[str, float]]:
        """(chunk id, BM25 score) of the chunks with any of the words, each word with its weight; best first.

        A word that also stands above the chunk counts ABOVE more, by the BM25 of those fields.
        """
        import tantivy

        query = tantivy.Query
        terms = [
            (tantivy.Occur.Should, query.boost_query(query.term_query(self._schema, field, word, "freq"), weight * boost))
            for word, weight in weighted.items()
            for field, boost in (("words", 1.0), ("above", ABOVE))
        ]
        return self._found(query.boolean_query(terms), limit) if terms else []

    def _found(self, query: Any, limit: int) -> list[tuple[str, float]]:
        with damaged(self._folder):
            hits = self._searcher.search(query, limit=max(1, limit), count=False).hits
            return [(self._searcher.doc(address)["id"][0], score) for score, address in hits]

    def together(self, weighted: Mapping[str, float], among: Sequence[str]) -> float:
        """The largest sum of weights of those words that one of the chunks `among` has."""
        import tantivy

        query, schema = tantivy.Query, self._schema
        terms = [
            (tantivy.Occur.Should, query.const_score_query(query.term_query(schema, "words", word, "basic"), weight))
            for word, weight in weighted.items()
        ]
        chunks = query.const_score_query(query.term_set_query(schema, "id", list(among)), 1.0)
        best = self._found(query.boolean_query([(tantivy.Occur.Must, chunks), *terms]), 1) if among else []
        return best[0][1] - 1.0 if best else 0.0

    def frequency(self, word: str) -> int:
        """In how many chunks `word` occurs."""
        return int(self._searcher.doc_freq("words", word))

    @property
    def count(self) -> int:
        return int(self._searcher.num_docs)

    def ids(self) -> set[str]:
        import tantivy

        return {id_ for id_, _ in self._found(tantivy.Query.all_query(), self.count)}

    def has_once(self, id_: str) -> bool:
        import tantivy

        return len(self._found(tantivy.Query.term_query(self._schema, "id", id_), 2)) == 1


class LexicalWriter:
    """Writes the index of a generation into the new folder `folder`, from nothing or from that of the generation before."""

    def __init__(self, folder: Path, base: Path | None) -> None:
        import tantivy

        folder.mkdir()
        for path in base.iterdir() if base else ():
            if path.suffix == ".json":  # these few are replaced
                shutil.copyfile(path, folder / path.name)
            elif path.suffix != ".lock":
                _link(path, folder / path.name)
        self._writer = tantivy.Index(_schema(), path=str(folder)).writer(heap_size=64_000_000, num_threads=1)

    def remove(self, document: str) -> None:
        """Take out the chunks of a document, those added after this call excepted."""
        self._writer.delete_documents_by_term("document", document)

    def add(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        """(chunk id, document key, all its words joined by spaces, those of them that stand above it)."""
        import tantivy

        for id_, document, words, above in rows:
            self._writer.add_document(tantivy.Document(id=id_, document=document, words=words, above=above))

    def finish(self) -> None:
        self._writer.commit()
        self._writer.wait_merging_threads()


def _link(path: Path, to: Path) -> None:
    try:
        os.link(path, to)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, to)
