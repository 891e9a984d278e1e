"""A question (and what was said before it) to hits: words and vectors, fused, and what says the same folded into one.

The fusion adds the scores of both legs, each brought to 0..1: a convex combination, which keeps how sure a leg is, as ranks
do not (Bruch, Gai and Ingber, ACM TOIS 2023).
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kb.confidence import signals
from kb.embed import Embedder
from kb.fold import Passage, fold
from kb.index import Generation
from kb.join import join
from kb.places import lies_in
from kb.records import Found, Standalone, Turn, under_headings
from kb.rerank import Reranker
from kb.reread import reread
from kb.translate import Translator
from kb.words import content_words, is_chinese, names, possible_words, weighted_words
from kb.worth import Worth, apart

DEPTH = 60  # candidates a leg
VECTOR_WEIGHT = 0.3  # beside 1 for words
OTHER_CUT = 0.6  # of a Chinese word that the documents have and the dictionary cut otherwise
ELSEWHERE = 0.6  # of its score, for a passage that does not lie where the question says
PER_DOCUMENT = 2  # chunks of one document before those of others
MAX_QUESTION = 2000  # characters; more is a pasted document, of which the start says enough
TRANSLATED = 0.8  # of its score, for what only the question in the other language finds
_LOOKED_AT = 3  # candidates for each hit that is wanted
_NEW_TOPIC = 0.2  # share of a question's own worth: where what was found with the history has less, the topic has changed
_SURE, _UNSURE = 0.6, 0.25  # confidence that a question has without its history
_ELLIPTIC = 2  # words that carry a topic: a question of no more is a follow-up
_FOLLOW_UP = 3  # and one of no more seldom is anything else


def asked(question: str, history: Sequence[Turn]) -> tuple[str, list[str]]:
    """The question, cut to length, and the questions before it."""
    return question[:MAX_QUESTION], [turn.content[:MAX_QUESTION] for turn in history if turn.role == "user"]


class _Query(NamedTuple):
    """A question as the legs want it: its words with their weights, what else could be cut out of it, and what it calls by its
    name; what is embedded, how much of that the model knows, and how much of the question that is.
    """

    weighted: dict[str, float]
    possible: set[str]
    names: list[str]
    spoken: str
    known: float
    put: float


class Legs(NamedTuple):
    """What both legs found, (chunk id, score) best first, for a question with its vector; what the words of that are worth."""

    by_words: list[tuple[str, float]]
    by_vector: list[tuple[str, float]]
    query: _Query
    vector: np.ndarray
    worth: Worth

    @property
    def signals(self) -> tuple[float, ...]:
        """What confidence is read from."""
        return signals(self.by_words, self.by_vector, self.worth.unknown, self.query.known)


def search(question: str, before: Sequence[str], generation: Generation, embedder: Embedder) -> Legs:
    """Ask both legs for a question, together with the questions before it."""
    query = _query(question, before, generation.translator, embedder)
    return _legs(query, embedder.query(query.spoken), generation, generation.translator)


def search_each(questions: Sequence[str], generation: Generation, translator: Translator, embedder: Embedder) -> list[Legs]:
    """Ask both legs for each of many questions: their vectors are computed together."""
    queries = [_query(question, (), translator, embedder) for question in questions]
    vectors = embedder.queries([query.spoken for query in queries])
    return [_legs(query, vector, generation, translator) for query, vector in zip(queries, vectors, strict=True)]


def _query(question: str, before: Sequence[str], translator: Translator, embedder: Embedder) -> _Query:
    whole = "\n".join((*before, question))
    named = list(dict.fromkeys(name for text in (question, *before) for name in names(text)))
    spoken = _as_the_model_reads(whole, translator, embedder)
    return _Query(weighted_words(question, before), possible_words(whole), named, *spoken)


def _legs(query: _Query, vector: np.ndarray, generation: Generation, translator: Translator) -> Legs:
    other_cuts = {word: OTHER_CUT for word in query.possible if generation.frequency(word)}
    by_words = generation.by_words(translator.widened(other_cuts | query.weighted), DEPTH)
    by_vector = generation.by_vector(vector, DEPTH)
    return Legs(by_words, by_vector, query, vector, Worth(query.weighted, generation, translator))


def retrieve(
    question: str,
    history: Sequence[Turn],
    generation: Generation,
    embedder: Embedder,
    limit: int,
    reranker: Reranker | None = None,
    standalone: Standalone | None = None,
    again: int = 0,
) -> Found:
    """At most `limit` hits, best first, numbered from 1. What was said before counts, unless the topic has changed.

    `standalone` is searched for in both of its languages, instead of the question and what was said before it. Where there is
    no `reranker`, the embedding model reads the first `again` once more (kb.reread).
    """
    rewritten = standalone.question if standalone and standalone.question != question else ""
    question, before = (standalone.question, []) if standalone else asked(question, history)
    wanted = reranker.depth if reranker else limit
    legs = [search(question, before, generation, embedder)]
    if standalone and standalone.other:
        legs.append(search(standalone.other, (), generation, embedder))
    ranked = _rank(question, before, legs, generation, wanted)
    if before and len(content_words(question)) > _ELLIPTIC:
        alone = [search(question, (), generation, embedder)]
        if _changes_topic(question, ranked.passages[:limit], legs, alone, generation):
            ranked = _rank(question, (), alone, generation, wanted)
    if reranker:
        passages = join(_reranked(ranked.query, ranked.passages[:wanted], reranker), limit)
    else:
        passages = join(ranked.passages, max(limit, again))
        read = max(ranked.legs, key=lambda legs: legs.query.known)
        trust = _trust(read.query.known, read.query.put)
        passages = reread(passages, ranked.legs[0].worth, read.vector, trust, embedder, again)[:limit]
    hits = tuple(passage.hit(n) for n, passage in enumerate(passages, start=1))
    confidence = _confidence(ranked.legs, generation) if hits else 0.0
    return Found(ranked.query, generation.number, hits, round(confidence, 4), rewritten)


def _confidence(every: Sequence[Legs], generation: Generation) -> float:
    unnamed = (apart(legs.query.names, [id_ for id_, _ in legs.by_words], generation) for legs in every)
    calibration = generation.learned.calibration
    return max(calibration.confidence(legs.signals, share) for legs, share in zip(every, unnamed, strict=True))


class _Ranked(NamedTuple):
    """What was searched for, the passages best first, and what the legs found."""

    query: str
    passages: list[Passage]
    legs: list[Legs]


def _rank(question: str, before: Sequence[str], every: list[Legs], generation: Generation, wanted: int) -> _Ranked:
    """Some more passages than are `wanted`, of what was found for the question with those before it, and in the other language
    where it was put into that.
    """
    scores: dict[str, float] = {}
    for legs, share in zip(every, (1.0, TRANSLATED), strict=False):
        # A vector says as much as the model understood: the packaged one reads English only.
        for id_, score in _fused(legs.by_words, legs.by_vector, VECTOR_WEIGHT * legs.query.known**2).items():
            scores[id_] = max(scores.get(id_, 0.0), share * score)
    ranked = sorted(scores, key=lambda id_: (-scores[id_], id_))[: _LOOKED_AT * wanted]
    chunks = generation.chunks(ranked)
    keys = list(dict.fromkeys(chunks[id_].document for id_ in ranked))
    infos, twins = generation.catalog.infos(keys), generation.catalog.twins(keys)
    passages = [Passage(chunks[id_], infos[chunks[id_].document], scores[id_]) for id_ in ranked]
    if named := generation.places.named(question) or generation.places.named("\n".join(before)):
        for passage in passages:
            if not lies_in(named, passage.info.source, passage.info.path):
                passage.score *= ELSEWHERE
        passages.sort(key=lambda passage: -passage.score)
    folded = _spread(fold(passages, twins, is_chinese(question)))
    return _Ranked("\n".join((*before, question)), folded, every)


def _reranked(query: str, passages: list[Passage], reranker: Reranker) -> list[Passage]:
    texts = [under_headings(passage.info.title, passage.chunk) for passage in passages]
    for passage, score in zip(passages, reranker.scores(query, texts) if texts else (), strict=True):
        passage.score = score
    return sorted(passages, key=lambda passage: -passage.score)


def _changes_topic(
    question: str, found: Sequence[Passage], legs: Sequence[Legs], alone: Sequence[Legs], generation: Generation
) -> bool:
    """Whether a question is to be asked without its history: what was found first has next to nothing of its words, and neither
    have the others or it is sure `alone`; or it is of many words, and surer alone or sure of nothing.
    """
    texts = ("\n".join((passage.info.path, *passage.chunk.heading, passage.chunk.text)) for passage in found)
    unlike = (alone[0].worth.share(text) < _NEW_TOPIC for text in texts)
    sure = _confidence(alone, generation)
    if next(unlike, True) and (sure >= _SURE or all(unlike)):
        return True
    return len(content_words(question)) > _FOLLOW_UP and not _UNSURE < sure <= _confidence(legs, generation)


def _as_the_model_reads(query: str, translator: Translator, embedder: Embedder) -> tuple[str, float, float]:
    """The query as it is or, where that says more to the model, put into English; how much of it the model knows, and how much
    of the query it says.
    """
    known = embedder.known(query)
    if known < 1:
        english, put = translator.in_english(query)
        of_english = embedder.known(english)
        if _trust(of_english, put) > _trust(known, 1.0):
            return english, of_english, put
    return query, known, 1.0


def _trust(known: float, put: float) -> float:
    """How much of a question its vector says: what the model knows of it, as that counts in the fusion, of the share that was
    put.
    """
    return known**2 * put


def _fused(
    by_words: Sequence[tuple[str, float]], by_vector: Sequence[tuple[str, float]], vector_weight: float
) -> dict[str, float]:
    """Chunk id → BM25 as a share of the best, plus `vector_weight` times the cosine's place between the worst and the best."""
    scores: dict[str, float] = {}
    for id_, score in by_words:
        scores[id_] = score / (by_words[0][1] or 1)
    if by_vector:
        best, worst = by_vector[0][1], by_vector[-1][1]
        for id_, score in by_vector:
            scores[id_] = scores.get(id_, 0) + vector_weight * (score - worst) / max(best - worst, 1e-9)
    return scores


def _spread(passages: Sequence[Passage]) -> list[Passage]:
    """The same passages, but of each document only the best few first: the answer may stand in another one."""
    seen: Counter[str] = Counter()
    first: list[Passage] = []
    rest: list[Passage] = []
    for passage in passages:
        seen[passage.info.key] += 1
        (first if seen[passage.info.key] <= PER_DOCUMENT else rest).append(passage)
    return first + rest
