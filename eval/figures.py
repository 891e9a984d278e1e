"""Figures of a set of scored cases, and how sure they are."""

from collections.abc import Iterable, Sequence

import numpy as np

from eval import stats
from eval.score import RATIOS, RECALL_OF, CaseScore

# Read off the set as a whole; the others are weighted means of the cases' values.
WHOLE = ("refusal_best_f1", "refusal_roc_auc", "latency_p50_ms", "latency_p95_ms", "retrieval_p50_ms", "retrieval_p95_ms")
Figures = dict[str, float | None]
Intervals = dict[str, tuple[float, float] | None]


def metric_names(scores: Iterable[CaseScore]) -> list[str]:
    """All metrics, in the order of a report; recall by category and what a judge added as far as there are any."""
    more = {name for score in scores for name in score.values} - set(RATIOS)
    recall = sorted(name for name in more if name.startswith(RECALL_OF))
    return [*RATIOS, *WHOLE[:2], *recall, *sorted(more - set(recall)), *WHOLE[2:]]


def columns(name: str, scores: Sequence[CaseScore]) -> tuple[np.ndarray, np.ndarray]:
    """(values, weights) of a ratio, each of shape (cases,); weight 0 where a case has no value."""
    values = np.array([score.values.get(name, 0.0) for score in scores], dtype=float)
    weights = np.array([score.weights.get(name, 1.0) if name in score.values else 0.0 for score in scores], dtype=float)
    return values, weights


def statistic_of(name: str, scores: Sequence[CaseScore]) -> tuple[stats.Statistic, int]:
    """(the statistic of a metric, how many cases it has)."""
    if name.startswith(("latency_", "retrieval_")):
        times = np.array(
            [t for s in scores if (t := s.latency_ms if name[0] == "l" else s.retrieval_ms) is not None], dtype=float
        )
        percentile = 50 if "p50" in name else 95
        return lambda indices: np.percentile(times[indices], percentile, axis=-1), len(times)
    if name in WHOLE:
        known = [score for score in scores if score.confidence is not None]
        refuse = np.array([score.should_refuse for score in known], dtype=bool)
        doubt = np.array([1 - (score.confidence or 0.0) for score in known], dtype=float)
        of = _best_f1 if name == "refusal_best_f1" else _roc_auc
        return lambda indices: of(refuse[indices], doubt[indices]), len(known)
    values, weights = columns(name, scores)
    values, weights = values[weights > 0], weights[weights > 0]
    return lambda indices: stats.weighted_mean(values[indices], weights[indices]), len(values)


# Both take (..., cases) and reduce the last axis: what scikit-learn computes for one sample, here for thousands of resamples at
# once. The tests hold them against it. nan where there is one class only.


def _best_f1(refuse: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """The F1 of the best threshold on 1 - confidence: what could be reached, chosen on these cases."""
    order = np.argsort(-doubt, axis=-1, kind="stable")
    doubt, right = np.take_along_axis(doubt, order, -1), np.take_along_axis(refuse, order, -1).cumsum(axis=-1)
    positive, count = right[..., -1:], refuse.shape[-1]
    scores = 2 * right / (np.arange(1, count + 1) + positive)  # of refusing the first 1, 2, 3, …
    scores[..., :-1][doubt[..., :-1] == doubt[..., 1:]] = 0  # no threshold parts equal ones
    return np.where((positive[..., 0] == 0) | (positive[..., 0] == count), np.nan, scores.max(axis=-1))


def _roc_auc(refuse: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """How likely an unanswerable question has the lower confidence than an answerable one (Mann-Whitney's U over all pairs)."""
    from scipy.stats import rankdata

    positive = refuse.sum(axis=-1)
    above = (rankdata(doubt, axis=-1) * refuse).sum(axis=-1) - positive * (positive + 1) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray(above / (positive * (refuse.shape[-1] - positive)))


def aggregate(scores: Sequence[CaseScore], names: Sequence[str] | None = None) -> Figures:
    """Metric → its figure over the cases, None where no case has it; and "cases", "failed": how many."""
    figures: Figures = {"cases": len(scores), "failed": sum(bool(score.failed) for score in scores)}
    for name in names or metric_names(scores):
        statistic, count = statistic_of(name, scores)
        value = float(statistic(np.arange(count))) if count else float("nan")
        figures[name] = None if np.isnan(value) else round(value, 6)
    return figures


def slices(scores: Sequence[CaseScore]) -> dict[str, Figures]:
    """The figures of each part of the set that has cases, with the names of the whole."""
    names = metric_names(scores)
    return {part: aggregate(own, names) for part, own in _parts(scores).items()}


def slice_intervals(scores: Sequence[CaseScore], names: Sequence[str]) -> dict[str, Intervals]:
    """The intervals of some metrics for each part of the set."""
    return {part: intervals(own, names) for part, own in _parts(scores).items()}


def _parts(scores: Sequence[CaseScore]) -> dict[str, list[CaseScore]]:
    found: dict[str, list[CaseScore]] = {}
    for score in scores:
        for part in score.slices:
            found.setdefault(part, []).append(score)
    return {part: found[part] for part in sorted(found, key=_slice_order)}


def _slice_order(part: str) -> tuple[int, str]:
    return (0 if part.startswith("lang=") else 2 if part.startswith("repo=") else 1), part


def intervals(scores: Sequence[CaseScore], names: Sequence[str] | None = None) -> Intervals:
    """Metric → its 95 % bootstrap interval over the cases; None where there are too few."""
    found: Intervals = {}
    for name in names or metric_names(scores):
        of = stats.interval(*statistic_of(name, scores))
        found[name] = (round(of[0], 6), round(of[1], 6)) if of else None
    return found
