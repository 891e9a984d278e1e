"""Measure a knowledge base on questions whose answers are known: run, score, compare.

The names below are the public face of the package, loaded on first use.
"""

from typing import TYPE_CHECKING

from kb.lazy import lazy_names

if TYPE_CHECKING:
    from eval.aggregate import aggregate
    from eval.cases import Case, CaseSet, Problem, read_cases
    from eval.compare import Comparison, Difference, compare_runs, gate
    from eval.jobs import evaluate_job
    from eval.lines import CaseLine
    from eval.report import table
    from eval.run import evaluate
    from eval.runs import Run, RunInfo, list_runs, read_run
    from eval.score import CaseScore, score_cases

__all__ = [
    "Case",
    "CaseLine",
    "CaseScore",
    "CaseSet",
    "Comparison",
    "Difference",
    "Problem",
    "Run",
    "RunInfo",
    "aggregate",
    "compare_runs",
    "evaluate",
    "evaluate_job",
    "gate",
    "list_runs",
    "read_cases",
    "read_run",
    "score_cases",
    "table",
]

__getattr__ = lazy_names(
    {
        "eval.aggregate": "aggregate",
        "eval.cases": "Case CaseSet Problem read_cases",
        "eval.compare": "Comparison Difference compare_runs gate",
        "eval.jobs": "evaluate_job",
        "eval.lines": "CaseLine",
        "eval.report": "table",
        "eval.run": "evaluate",
        "eval.runs": "Run RunInfo list_runs read_run",
        "eval.score": "CaseScore score_cases",
    }
)
