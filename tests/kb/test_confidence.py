"""The calibration of how sure a find is, and what a generation learns."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

import kb
from kb.confidence import BY_WORDS_ALONE, calibrate, signals
from kb.errors import BaseError
from kb.learned import FILE, Learned, read_learned, write_learned
from kb.made_questions import FOREIGN, made_questions
from kb.words import is_chinese, possible_words

Signals = tuple[float, float, float, float]


def drawn(strength: float, unknown: float, nearness: float, agreement: float, seed: int) -> list[Signals]:
    draw = random.Random(seed)
    means = (strength, unknown, nearness, agreement)
    return [tuple(mean + draw.gauss(0, 0.15) for mean in means) for _ in range(60)]  # type: ignore[misc]


def test_own_questions_are_sure_and_foreign_ones_are_not() -> None:
    own, foreign = drawn(3, 0.1, 0.6, 0.8, 1), drawn(1, 0.7, 0.2, 0.2, 2)
    calibration = calibrate(own, drawn(2.4, 0.1, 0.5, 0.5, 3), foreign)
    assert min(map(calibration.confidence, own)) > max(map(calibration.confidence, foreign))
    assert calibration.confidence((3, 0.1, 0.6, 0.8)) > 0.8
    assert calibration.confidence((1, 0.7, 0.2, 0.2)) < 0.1
    assert all(weight * sign > 0 for weight, sign in zip(calibration.weights, (1, -1, 1, 1), strict=True))


def test_a_signal_that_says_nothing_loses_weight() -> None:
    """The vectors of a model that cannot read the documents are as near to foreign questions as to own ones."""
    told = calibrate(drawn(3, 0.1, 0.6, 0.8, 1), drawn(2.4, 0.1, 0.5, 0.5, 3), drawn(1, 0.7, 0.2, 0.2, 2))
    untold = calibrate(drawn(3, 0.1, 0.3, 0.8, 1), drawn(2.4, 0.1, 0.3, 0.5, 3), drawn(1, 0.7, 0.3, 0.2, 2))
    assert abs(untold.weights[2]) < abs(told.weights[2])


def test_signals_of_nothing_are_nothing() -> None:
    assert signals([], [], 1.0, 0.5) == (0.0, 1.0, 0.0, 0.0)
    strength, unknown, nearness, agreement = signals([("a-1", 7.0), ("b-1", 3.0)], [("b-2", 0.5), ("a-3", 0.4)], 0.2, 0.5)
    assert (unknown, nearness) == (0.2, 0.25)
    assert strength == pytest.approx(2.079, abs=1e-3)
    assert agreement == pytest.approx(9 / (3 * 4))  # both documents: first in one leg, second in the other


def test_by_words_alone() -> None:
    assert BY_WORDS_ALONE.confidence((2, 0.1, 0.5, 0.5)) > 0.9
    assert BY_WORDS_ALONE.confidence((2, 0.9, 0.5, 0.5)) < 0.1


def test_names_that_are_not_together_take_confidence() -> None:
    sure, less, least = (BY_WORDS_ALONE.confidence((2, 0.1, 0.5, 0.5), unnamed) for unnamed in (0, 0.5, 1))
    assert sure > less > least


def test_foreign_questions_are_in_both_languages_and_distinct() -> None:
    assert len(set(FOREIGN)) == len(FOREIGN) >= 80
    assert 30 <= sum(map(is_chinese, FOREIGN)) <= len(FOREIGN) - 30


def test_made_questions_are_the_same_for_the_same_content(base: kb.KnowledgeBase) -> None:
    generation = base.snapshot()
    made = made_questions(generation, 50)
    assert made
    assert made == made_questions(generation, 50)
    assert {chunk.document for chunk, _ in made} <= {info.key for info in generation.documents()}


def test_what_is_learned_is_kept_and_becomes_old(tmp_path: Path, base: kb.KnowledgeBase) -> None:
    assert read_learned(tmp_path).due, "nothing yet"
    learned = replace(base.snapshot().learned, chunks=100, changed=0)
    write_learned(tmp_path, learned)
    assert read_learned(tmp_path) == learned
    assert not learned.later(10).due
    assert learned.later(11).due
    (tmp_path / FILE).write_text('{"glossary": 1}')
    with pytest.raises(BaseError, match="--rebuild"):
        read_learned(tmp_path)


def test_an_empty_one_can_be_asked() -> None:
    assert Learned().calibration is BY_WORDS_ALONE
    assert Learned().glossary.translations("显存") == []


def test_words_that_the_dictionary_cut_otherwise() -> None:
    assert "显存" in possible_words("pipeline 用完了怎么把显存放掉")
    assert possible_words("no Chinese") == set()
