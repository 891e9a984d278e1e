"""Why a case counts as wrong, read off its values."""

from typing import Literal, get_args

from eval.score import CaseScore

# failed: no answer came. refused: the documents hold the answer. answered: they do not. found: no right document among the
# first five. cited: no citation opens the answer. key: no answer key, or none of the exact answers, is in the answer.
Fault = Literal["failed", "refused", "answered", "found", "cited", "key"]
FAULTS: tuple[Fault, ...] = get_args(Fault)


def faults(score: CaseScore) -> tuple[Fault, ...]:
    """Everything that is wrong with a case, the gravest first; empty: it is right as far as its question says what is right."""
    values = score.values
    refused = bool(values.get("false_refusal_rate"))
    is_so: dict[Fault, bool] = {
        "failed": bool(score.failed),
        "refused": refused and not score.failed,
        "answered": score.should_refuse and not values.get("refusal_recall") and not score.failed,
        "found": values.get("hit@5") == 0,
        "cited": not refused and values.get("citation_recall") == 0,
        "key": not refused and 0.0 in (values.get("answer_key"), values.get("answer_contained")),
    }
    return tuple(fault for fault in FAULTS if is_so[fault])


def rank(score: CaseScore) -> int | None:
    """At which place of ten the first right document was found: 0 at none of them, None where the question names none."""
    reciprocal = score.values.get("mrr@10")
    if reciprocal is None:
        return None
    return round(1 / reciprocal) if reciprocal else 0
