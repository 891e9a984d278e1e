"""A run is a folder: run.json (what was asked of what, first), questions.jsonl (as they were), cases.jsonl (a line a case),
report.json (the figures, last).

A baseline is one file: a report with its scores and no texts, small enough to be committed.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.cases import Case, read_cases
from eval.figures import Figures, Intervals, aggregate, intervals, slices
from eval.lines import CaseLine, read_lines
from eval.score import CaseScore, score_from
from kb import whole
from kb.disk import disk_errors
from kb.errors import KBError
from kb.settings import Settings

HEADER, QUESTIONS, LINES, REPORT = "run.json", "questions.jsonl", "cases.jsonl", "report.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run. `header` is run.json and how it ended; `lines` (id → line) are empty in a baseline.

    `metrics` is {"overall": figures, "slices": {name: figures}}, `intervals` 95 % bootstrap intervals of the overall figures.
    """

    header: dict[str, Any]
    scores: tuple[CaseScore, ...]
    metrics: dict[str, Any]
    intervals: Intervals
    problems: tuple[str, ...] = ()
    lines: Mapping[str, CaseLine] | None = None

    @property
    def overall(self) -> Figures:
        figures: Figures = self.metrics["overall"]
        return figures

    @property
    def failed(self) -> dict[str, str]:
        """Id → why, of the cases that failed."""
        return {score.id: score.failed for score in self.scores if score.failed}

    def as_json(self, scores: bool = False) -> dict[str, Any]:
        """The report; with `scores` also the value of each metric for each case."""
        report = {"metrics": self.metrics, "intervals": self.intervals, "run": self.header, "failed": self.failed,
                  "problems": list(self.problems)}  # fmt: skip
        return report | {"cases": [score.as_json() for score in self.scores]} if scores else report


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in a list: `started` in epoch seconds, how many `cases` have a line of how many; `finished`: it has a report.

    Runs of one `sha256` were asked the same questions. `answers`: the model that wrote them, empty for quotations.
    """

    folder: Path
    kb: str
    generation: int
    questions: str
    started: float
    cases: int
    total: int
    finished: bool
    sha256: str
    answers: str


def make_run(
    header: dict[str, Any], scores: Sequence[CaseScore], problems: Sequence[str], lines: Mapping[str, CaseLine] | None
) -> Run:
    """The figures of scored cases."""
    metrics = {"overall": aggregate(scores), "slices": slices(scores)}
    return Run(header, tuple(scores), metrics, intervals(scores), tuple(problems), lines)


def read_run(path: Path) -> Run:
    """A run's folder, or a baseline file.

    Raises:
        KBError: there is none, it is not finished, or it is damaged.
    """
    report = path / REPORT if path.is_dir() else path
    if path.is_dir() and (path / HEADER).is_file() and not report.is_file():
        raise KBError(f"The run in {path} was not finished: evaluate with `--out {path}` to go on with it.")
    try:
        value = json.loads(report.read_text("utf-8"))
        if value["run"]["format"] != FORMAT:
            raise KBError(f"{report} was written by another version of InternKB: evaluate again.")
        scores = tuple(score_from(score) for score in value["cases"])
        found = {name: (of[0], of[1]) if of else None for name, of in value["intervals"].items()}
        lines = read_lines(path / LINES)[0] if path.is_dir() else None
        return Run(value["run"], scores, value["metrics"], found, tuple(value["problems"]), lines)
    except FileNotFoundError as error:
        raise KBError(f"There is no run at {path}: name the folder of a run, or a file that --save-baseline wrote.") from error
    except OSError as error:
        raise KBError(f"{report} cannot be read ({error.strerror}): name the folder of a run or a baseline file.") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise KBError(f"{report} is not the report of a run ({error!r}): name the folder of a run or a baseline file.") from error


def read_questions(folder: Path) -> dict[str, Case]:
    """Id → the case as it was asked; empty where the run did not keep its questions."""
    try:
        return {case.id: case for case in read_cases(folder / QUESTIONS).cases}
    except KBError:
        return {}


def writing(where: Path) -> AbstractContextManager[None]:
    """One sentence for a disk that is full, failing or not ours to write. Raises KBError."""
    return disk_errors(where, KBError)


def write_json(path: Path, value: Any) -> None:
    """Write whole or not at all. Raises KBError where that fails."""
    with writing(path):
        whole.write_json(path, value)


def save_baseline(run: Run, path: Path) -> None:
    """Write one file to gate on, a case a line, so that a change of it shows which cases moved.

    Times are left out: they are those of this machine, and are not gated.
    """
    header = {key: value for key, value in run.header.items() if key not in ("machine", "started", "ended")}
    scores = [replace(score, latency_ms=None, retrieval_ms=None) for score in run.scores]
    value = make_run(header, scores, run.problems, None).as_json(scores=True) | {"cases": ["@cases"]}
    rows = ",\n  ".join(json.dumps(score.as_json(), ensure_ascii=False) for score in scores)
    with writing(path):
        path.write_text(json.dumps(value, ensure_ascii=False, indent=1).replace('"@cases"', rows, 1) + "\n", "utf-8")


def list_runs(settings: Settings) -> list[RunInfo]:
    """The runs kept in data_base, newest first; folders whose run.json cannot be read are no runs."""
    return [info for path in sorted((settings.data_base / "runs").glob(f"*/{HEADER}"), reverse=True) if (info := _info(path))]


def _info(path: Path) -> RunInfo | None:
    folder = path.parent
    try:
        header = json.loads(path.read_text("utf-8"))
        finished = (folder / REPORT).is_file()
        cases = header["cases"] if finished else (folder / LINES).read_bytes().count(b"\n") if (folder / LINES).is_file() else 0
        answers = {"endpoint": "endpoint_model", "model": "model"}.get(header["settings"]["answers"], "")
        model = header["settings"].get(answers, "")
        return RunInfo(folder, header["kb"], header["generation"], header["questions"], header["started"], cases, header["cases"],
                       finished, header["questions_sha256"], model)  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None
