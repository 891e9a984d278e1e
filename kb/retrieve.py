"""A question (and what was said before it) to hits: words and vectors, fused by reciprocal ranks.

Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from kb.embed import Embedder
from kb.index import Generation
from kb.records import Chunk, Found, Hit, Turn
from kb.words import weighted_words

DEPTH = 60  # candidates a leg
RANK_CONSTANT = 10
WORDS_WEIGHT = 1.0
VECTOR_WEIGHT = 0.5
PER_DOCUMENT = 2  # chunks of one document before those of others
MAX_QUESTION = 2000  # characters; more is a pasted document, of which the start says enough


def asked(question: str, history: Sequence[Turn]) -> tuple[str, list[str]]:
    """The question, cut to length, and the questions before it."""
    return question[:MAX_QUESTION], [turn.content[:MAX_QUESTION] for turn in history if turn.role == "user"]


def retrieve(question: str, history: Sequence[Turn], generation: Generation, embedder: Embedder, limit: int) -> Found:
    """At most `limit` hits, best first, numbered from 1."""
    question, before = asked(question, history)
    query = "\n".join((*before, question))
    legs = (
        (WORDS_WEIGHT, generation.by_words(weighted_words(question, before), DEPTH)),
        # A vector says as much as the model understood: the packaged one reads English only.
        (VECTOR_WEIGHT * embedder.known(query) ** 2, generation.by_vector(embedder.query(query), DEPTH)),
    )
    scores: defaultdict[str, float] = defaultdict(float)
    for weight, ranked in legs:
        for rank, (id_, _) in enumerate(ranked, start=1):
            scores[id_] += weight / (RANK_CONSTANT + rank)
    ranked_ids = sorted(scores, key=lambda id_: (-scores[id_], id_))
    chunks = generation.chunks(ranked_ids)
    best = _spread(ranked_ids, chunks)[:limit]
    names = generation.catalog.names([chunks[id_].document for id_ in best])
    hits = tuple(
        Hit(n, chunks[id_], *names[chunks[id_].document], score=round(scores[id_], 6)) for n, id_ in enumerate(best, start=1)
    )
    return Found(query, generation.number, hits)


def _spread(ranked_ids: Sequence[str], chunks: dict[str, Chunk]) -> list[str]:
    """The same ids, but of each document only the best few first: the answer may stand in another one."""
    seen: Counter[str] = Counter()
    first: list[str] = []
    rest: list[str] = []
    for id_ in ranked_ids:
        seen[chunks[id_].document] += 1
        (first if seen[chunks[id_].document] <= PER_DOCUMENT else rest).append(id_)
    return first + rest
