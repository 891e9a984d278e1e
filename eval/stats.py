"""How sure a figure is: bootstrap intervals and permutation tests over the questions (scipy.stats), seeded.

A statistic is a function of indices into the cases, integers of shape (..., count), that reduces the last axis. So what is drawn
again are questions, also for figures that are no mean over them, and for two runs both are drawn together (paired).
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

SEED = 20261124
RESAMPLES = 2000
PERMUTATIONS = 4999
_BATCH = 2_000_000  # indices in memory at a time

Statistic = Callable[[np.ndarray], Any]


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> Any:
    """Over the last axis; nan where all weights are 0."""
    total = weights.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (values * weights).sum(axis=-1) / total


def interval(statistic: Statistic, count: int) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval (Efron and Tibshirani 1993) of a statistic; None for fewer than 2 cases."""
    from scipy.stats import bootstrap

    if count < 2:
        return None
    with warnings.catch_warnings(action="ignore"):  # resamples in which the statistic is undefined are left out below
        drawn = bootstrap(
            (np.arange(count),),
            lambda indices, axis=-1: statistic(indices),
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, _BATCH // count),
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).bootstrap_distribution
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def permutation_p(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float | None:
    """Two-sided p of Fisher's paired permutation test: the difference of two weighted means, the runs swapped case by case.

    `a` and `b` are (values, weights) of the same cases, each of shape (cases,); None for no case.
    """
    from scipy.stats import permutation_test

    count = len(a[0])
    if count == 0:
        return None
    values, weights = np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])

    def difference(of_a: np.ndarray, of_b: np.ndarray, axis: int = -1) -> Any:
        first, second = weighted_mean(values[of_a], weights[of_a]), weighted_mean(values[of_b], weights[of_b])
        return np.nan_to_num(second - first)

    if np.array_equal(a, b):
        return 1.0
    done = permutation_test(
        (np.arange(count), np.arange(count) + count),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, _BATCH // count),
        rng=np.random.default_rng(SEED),
    )
    return float(done.pvalue)
