"""A generation learns about its own documents: see learned.py for what, and when."""

from kb.confidence import BY_WORDS_ALONE, calibrate
from kb.embed import Embedder
from kb.glossary import mine
from kb.index import Generation
from kb.learned import Learned
from kb.made_questions import FOREIGN, made_questions
from kb.records import document_of
from kb.retrieve import Legs, search_each
from kb.translate import Translator
from kb.twins import aligned_lines

_TWINS = 2000  # pairs of documents a glossary is mined from, at most
_OWN = 200  # questions made of the documents
_FEWEST = 10  # with less there is nothing to calibrate by


def learn(generation: Generation, embedder: Embedder) -> Learned:
    """Learn anew from all of `generation`."""
    pairs = generation.catalog.twin_pairs(_TWINS)
    texts = ((generation.document(one).text, generation.document(other).text) for one, other in pairs)
    glossary = mine(pair for chinese, english in texts for pair in aligned_lines(chinese, english))
    made = made_questions(generation, _OWN)
    if len(made) < _FEWEST:
        return Learned(glossary, BY_WORDS_ALONE, generation.manifest.chunks)
    # By what the documents teach alone: the dictionary helps foreign questions in a language that few documents are in, and
    # nearer to those more real ones are refused.
    translator = Translator(glossary, generation.frequency)
    own = search_each([question for _, question in made], generation, translator, embedder)
    foreign = search_each(FOREIGN, generation, translator, embedder)
    twins = generation.catalog.twins([chunk.document for chunk, _ in made])
    without = [
        _without(legs, {chunk.document, twins.get(chunk.document, "")}) for (chunk, _), legs in zip(made, own, strict=True)
    ]
    calibration = calibrate(*([legs.signals for legs in kind] for kind in (own, without, foreign)))
    return Learned(glossary, calibration, generation.manifest.chunks)


def _without(legs: Legs, documents: set[str]) -> Legs:
    """As if these documents were not there."""
    kept = ([pair for pair in leg if document_of(pair[0]) not in documents] for leg in (legs.by_words, legs.by_vector))
    return legs._replace(by_words=next(kept), by_vector=next(kept))
