"""Figures of a set of scored cases, and how sure they are."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from eval import stats
from eval.score import RATIOS, RECALL_OF, CaseScore

# Read off the set as a whole. Drawn fewer times than the ratios: they are computed one resample at a time.
WHOLE = ("refusal_best_f1", "refusal_roc_auc", "latency_p50_ms", "latency_p95_ms", "retrieval_p50_ms", "retrieval_p95_ms")
_WHOLE_RESAMPLES = 500
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


def statistic_of(name: str, scores: Sequence[CaseScore]) -> tuple[stats.Statistic, int, bool]:
    """(the statistic of a metric, how many cases it has, whether it takes many resamples at once)."""
    if name.startswith(("latency_", "retrieval_")):
        times = np.array(
            [t for s in scores if (t := s.latency_ms if name[0] == "l" else s.retrieval_ms) is not None], dtype=float
        )
        percentile = 50 if "p50" in name else 95
        return lambda indices: np.percentile(times[indices], percentile, axis=-1), len(times), True
    if name in WHOLE:
        known = [score for score in scores if score.confidence is not None]
        refuse = np.array([score.should_refuse for score in known], dtype=bool)
        doubt = np.array([1 - (score.confidence or 0.0) for score in known], dtype=float)
        of: Callable[[np.ndarray, np.ndarray], float] = _best_f1 if name == "refusal_best_f1" else _roc_auc
        return lambda indices: of(refuse[indices], doubt[indices]), len(known), False
    values, weights = columns(name, scores)
    values, weights = values[weights > 0], weights[weights > 0]
    return lambda indices: stats.weighted_mean(values[indices], weights[indices]), len(values), True


def _best_f1(refuse: np.ndarray, doubt: np.ndarray) -> float:
    """The F1 of the best threshold on 1 - confidence: what could be reached, chosen on these cases. nan for one class."""
    from sklearn.metrics import precision_recall_curve

    if refuse.all() or not refuse.any():
        return float("nan")
    precision, recall, _ = precision_recall_curve(refuse, doubt)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


def _roc_auc(refuse: np.ndarray, doubt: np.ndarray) -> float:
    """How likely an unanswerable question has the lower confidence than an answerable one. nan for one class."""
    from sklearn.metrics import roc_auc_score

    return float("nan") if refuse.all() or not refuse.any() else float(roc_auc_score(refuse, doubt))


def aggregate(scores: Sequence[CaseScore], names: Sequence[str] | None = None) -> Figures:
    """Metric → its figure over the cases, None where no case has it; and "cases", "failed": how many."""
    figures: Figures = {"cases": len(scores), "failed": sum(bool(score.failed) for score in scores)}
    for name in names or metric_names(scores):
        statistic, count, _ = statistic_of(name, scores)
        value = float(statistic(np.arange(count))) if count else float("nan")
        figures[name] = None if np.isnan(value) else round(value, 6)
    return figures


def slices(scores: Sequence[CaseScore]) -> dict[str, Figures]:
    """The figures of each part of the set that has cases, with the names of the whole."""
    names = metric_names(scores)
    found: dict[str, list[CaseScore]] = {}
    for score in scores:
        for part in score.slices:
            found.setdefault(part, []).append(score)
    return {part: aggregate(found[part], names) for part in sorted(found, key=_slice_order)}


def _slice_order(part: str) -> tuple[int, str]:
    return (0 if part.startswith("lang=") else 2 if part.startswith("repo=") else 1), part


def intervals(scores: Sequence[CaseScore]) -> Intervals:
    """Metric → its 95 % bootstrap interval over the cases; None where there are too few."""
    found: Intervals = {}
    for name in metric_names(scores):
        statistic, count, vectorized = statistic_of(name, scores)
        of = stats.interval(statistic, count, vectorized, stats.RESAMPLES if vectorized else _WHOLE_RESAMPLES)
        found[name] = (round(of[0], 6), round(of[1], 6)) if of else None
    return found
