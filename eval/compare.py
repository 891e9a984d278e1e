"""Two runs, case by case: what differs beyond chance, and which cases moved."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval import stats
from eval.figures import WHOLE, columns, metric_names, statistic_of
from eval.runs import Run
from eval.score import LOWER_IS_BETTER, CaseScore
from kb.errors import KBError

_TIMES = ("latency_ms", "retrieval_ms")  # means, compared but not gated: they tell as much of the machine as of the run

_SAME = 1e-4


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two runs over the `cases` that have it in either: `difference` is b - a, with a 95 % paired bootstrap
    interval.

    `p` is that of a two-sided paired permutation test. `won` and `lost` are the cases that b does better and worse; the
    other cases that both runs have a value for are `ties`.
    """

    metric: str
    cases: int
    a: float | None
    b: float | None
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    won: tuple[str, ...]
    lost: tuple[str, ...]
    ties: int

    @property
    def dropped(self) -> bool:
        """Whether b is worse beyond chance: the whole interval lies on the bad side of 0."""
        if self.interval is None:
            return False
        low, high = self.interval
        return low > 0 if self.metric in LOWER_IS_BETTER else high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs over the `cases` that both have; `only_a` and `only_b` count the others."""

    cases: int
    only_a: int
    only_b: int
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        metrics = {one.metric: {key: value for key, value in asdict(one).items() if key != "metric"} for one in self.differences}
        return {"cases": self.cases, "only_a": self.only_a, "only_b": self.only_b, "metrics": metrics}

    def lines(self) -> list[str]:
        """The table for a terminal."""
        out = [
            f"{self.cases} cases in both runs, {self.only_a} in the first alone, {self.only_b} in the second alone",
            f"{'metric':<36} {'cases':>5} {'A':>9} {'B':>9} {'B - A':>9}  {'95 % interval':<20} {'p':>6}  won/lost/ties",
        ]
        for one in self.differences:
            if one.difference is None:
                continue
            digits = 1 if one.metric in _TIMES else 3
            between = "[{:+.{d}f}, {:+.{d}f}]".format(*one.interval, d=digits) if one.interval else "-"
            out.append(
                f"{one.metric:<36} {one.cases:>5} {one.a:>9.{digits}f} {one.b:>9.{digits}f} {one.difference:>+9.{digits}f}  "
                f"{between:<20} {'-' if one.p is None else format(one.p, '.3f'):>6}  {len(one.won)}/{len(one.lost)}/{one.ties}"
            )
        for one in self.differences:
            for what, ids in (("won", one.won), ("lost", one.lost)):
                if ids and one.metric not in _TIMES:
                    out.append(f"{one.metric} {what}: {' '.join(ids)}")
        return out


def compare_runs(a: Run, b: Run) -> Comparison:
    """What changes from run `a` to run `b`.

    Raises:
        KBError: they have no case in common.
    """
    of_a, of_b = ({score.id: score for score in run.scores} for run in (a, b))
    ids = [id_ for id_ in of_a if id_ in of_b]
    if not ids:
        raise KBError("The two runs have no question in common: compare runs of the same questions.")
    first, second = [of_a[id_] for id_ in ids], [of_b[id_] for id_ in ids]
    names = [name for name in metric_names((*first, *second)) if any(name in score.values for score in (*first, *second))]
    differences = [_difference(name, ids, columns(name, first), columns(name, second)) for name in names]
    differences += [_of_whole(name, first, second) for name in WHOLE if name.startswith("refusal_")]
    differences += [_difference(name, ids, _times(name, first), _times(name, second)) for name in _TIMES]
    return Comparison(len(ids), len(of_a) - len(ids), len(of_b) - len(ids), tuple(differences))


def gate(run: Run, baseline: Run) -> list[Difference]:
    """The metrics in which `run` is worse than `baseline` beyond chance, times aside. Raises KBError like compare_runs()."""
    return [one for one in compare_runs(baseline, run).differences if one.dropped and one.metric not in _TIMES]


def _times(name: str, scores: Sequence[CaseScore]) -> tuple[np.ndarray, np.ndarray]:
    times = [score.latency_ms if name == "latency_ms" else score.retrieval_ms for score in scores]
    return np.array([t or 0.0 for t in times], dtype=float), np.array([t is not None for t in times], dtype=float)


def _difference(name: str, ids: Sequence[str], a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> Difference:
    # What trec_eval's or a report's last digit says is no difference.
    b = (np.where(np.abs(b[0] - a[0]) < _SAME, a[0], b[0]), b[1])
    # A case without weight can still be won or lost: a question that is answered rightly counts nothing in the F1 of refusing.
    better = (b[0] - a[0]) * (-1 if name in LOWER_IS_BETTER else 1)
    either, both = (a[1] + b[1]) > 0, (a[1] > 0) & (b[1] > 0)
    comparable = either if name == "refusal_f1" else both
    won = tuple(id_ for id_, up, can in zip(ids, better, comparable, strict=True) if can and up > 0)
    lost = tuple(id_ for id_, up, can in zip(ids, better, comparable, strict=True) if can and up < 0)
    ties = int(comparable.sum()) - len(won) - len(lost)
    a, b = (a[0][either], a[1][either]), (b[0][either], b[1][either])
    raw_a, raw_b = (float(stats.weighted_mean(*side)) for side in (a, b))
    mean_a, mean_b = _number(raw_a), _number(raw_b)
    if mean_a is None or mean_b is None:
        return Difference(name, int(either.sum()), mean_a, mean_b, None, None, None, won, lost, ties)
    between = stats.interval(
        lambda at: stats.weighted_mean(b[0][at], b[1][at]) - stats.weighted_mean(a[0][at], a[1][at]), len(a[0])
    )
    between = (round(between[0], 6), round(between[1], 6)) if between else None
    difference = round(raw_b - raw_a, 6)
    return Difference(name, len(a[0]), mean_a, mean_b, difference, between, stats.permutation_p(a, b), won, lost, ties)


def _of_whole(name: str, first: Sequence[CaseScore], second: Sequence[CaseScore]) -> Difference:
    """What is read off a set as a whole has no value for a case: no case is won or lost, and there is no p."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if a.confidence is not None and b.confidence is not None]
    of_a, count = statistic_of(name, [a for a, _ in both])
    of_b, _ = statistic_of(name, [b for _, b in both])
    everything = np.arange(count)
    raw_a, raw_b = (float(of(everything)) if count else float("nan") for of in (of_a, of_b))
    if np.isnan(raw_a) or np.isnan(raw_b):
        return Difference(name, count, _number(raw_a), _number(raw_b), None, None, None, (), (), 0)
    between = stats.interval(lambda at: of_b(at) - of_a(at), count)
    between = (round(between[0], 6), round(between[1], 6)) if between else None
    return Difference(name, count, _number(raw_a), _number(raw_b), round(raw_b - raw_a, 6), between, None, (), (), 0)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 6)
