"""Measure a knowledge base on questions whose answers are known: run, score, compare.

The names below are the public face of the package, loaded on first use.
"""

from typing import TYPE_CHECKING

from kb.lazy import lazy_names

if TYPE_CHECKING:
    from eval.cases import Case, CaseSet, Problem, read_cases
    from eval.compare import Comparison, Difference, compare_runs, gate
    from eval.figures import aggregate, slice_intervals
    from eval.jobs import evaluate_job
    from eval.lines import CaseLine
    from eval.make import make_questions
    from eval.question_sets import QuestionSet, find_set, keep_set, list_sets, save_set
    from eval.report import table
    from eval.run import evaluate
    from eval.runs import Run, RunInfo, list_runs, read_questions, read_run
    from eval.score import CaseScore, score_cases
    from eval.verdict import faults, rank

__all__ = [
    "Case",
    "CaseLine",
    "CaseScore",
    "CaseSet",
    "Comparison",
    "Difference",
    "Problem",
    "QuestionSet",
    "Run",
    "RunInfo",
    "aggregate",
    "compare_runs",
    "evaluate",
    "evaluate_job",
    "faults",
    "find_set",
    "gate",
    "keep_set",
    "list_runs",
    "list_sets",
    "make_questions",
    "rank",
    "read_cases",
    "read_questions",
    "read_run",
    "save_set",
    "score_cases",
    "slice_intervals",
    "table",
]

__getattr__ = lazy_names(
    {
        "eval.figures": "aggregate slice_intervals",
        "eval.cases": "Case CaseSet Problem read_cases",
        "eval.compare": "Comparison Difference compare_runs gate",
        "eval.verdict": "faults rank",
        "eval.jobs": "evaluate_job",
        "eval.lines": "CaseLine",
        "eval.make": "make_questions",
        "eval.question_sets": "QuestionSet find_set keep_set list_sets save_set",
        "eval.report": "table",
        "eval.run": "evaluate",
        "eval.runs": "Run RunInfo list_runs read_questions read_run",
        "eval.score": "CaseScore score_cases",
    }
)
