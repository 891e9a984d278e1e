"""Two runs against each other, and the gate, on made runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.__main__ import main
from eval.compare import Difference, compare_runs, gate
from eval.runs import Run, list_runs, make_run, read_run, save_baseline, write_json
from eval.score import CaseScore
from eval.stats import permutation_p
from kb import load_settings
from kb.errors import KBError

HEADER: dict[str, Any] = {
    "format": 1, "kb": "k", "generation": 1, "questions": "q.jsonl", "cases": 30, "started": 0.0, "jobs": 1,
    "latency_under_load": False, "settings": {"answers": "quotations", "embed_model": "m"}, "questions_sha256": "0",
    "machine": {"cores": 2, "platform": "p"},
}  # fmt: skip


def score(id_: int | str, **values: float) -> CaseScore:
    return CaseScore(str(id_), ("lang=en",), False, {name.replace("hitat", "hit@"): value for name, value in values.items()},
                     confidence=0.5, latency_ms=10.0, retrieval_ms=1.0)  # fmt: skip


def run_of(*scores: CaseScore) -> Run:
    return make_run(HEADER, scores, (), None)


def of(run_a: Run, run_b: Run, metric: str) -> Difference:
    return next(one for one in compare_runs(run_a, run_b).differences if one.metric == metric)


GOOD = run_of(*(score(n, hitat1=float(n % 3 > 0), false_refusal_rate=0.0) for n in range(30)))
WORSE = run_of(*(score(n, hitat1=float(n % 3 > 1), false_refusal_rate=float(n < 8)) for n in range(30)))


def test_a_difference_is_told_case_by_case() -> None:
    one = of(GOOD, WORSE, "hit@1")
    assert (one.cases, one.a, one.b, one.difference) == (
        30,
        pytest.approx(2 / 3, abs=1e-6),
        pytest.approx(1 / 3, abs=1e-6),
        -0.333333,
    )
    assert one.won == ()
    assert one.lost == tuple(str(n) for n in range(1, 30, 3))
    assert one.ties == 20
    low, high = one.interval or (0, 0)
    assert -0.6 < low < -1 / 3 < high < 0
    assert one.p is not None
    assert one.p < 0.01
    back = of(WORSE, GOOD, "hit@1")
    assert (back.won, back.lost, back.difference) == (one.lost, (), 0.333333)


def test_the_permutation_test_is_exact_on_few_cases() -> None:
    """Three of three cases drop by one: of 2³ ways to swap, two are as far from 0."""
    import numpy as np

    ones, zeros = np.ones(3), np.zeros(3)
    assert permutation_p((ones, ones), (zeros, ones)) == pytest.approx(2 / 8)
    assert permutation_p((ones, ones), (ones, ones)) == 1


def test_equal_runs_pass_the_gate_and_worse_ones_do_not() -> None:
    assert gate(GOOD, GOOD) == []
    assert gate(GOOD, WORSE) == []
    assert [one.metric for one in gate(WORSE, GOOD)] == ["hit@1", "false_refusal_rate"]
    one_lost = run_of(replace(GOOD.scores[0]), score(1, hitat1=0.0, false_refusal_rate=0.0), *GOOD.scores[2:])
    assert gate(one_lost, GOOD) == []  # one of thirty may be chance
    rounded = run_of(*(replace(one, values={name: value - 1e-6 for name, value in one.values.items()}) for one in GOOD.scores))
    assert gate(rounded, GOOD) == []
    assert (of(GOOD, rounded, "hit@1").lost, of(GOOD, rounded, "hit@1").ties) == ((), 30)
    slow = run_of(*(replace(one, latency_ms=1000.0) for one in GOOD.scores))
    assert gate(slow, GOOD) == []
    assert of(GOOD, slow, "latency_ms").difference == 990


def test_weights_and_values_that_one_run_lacks() -> None:
    a = run_of(*(replace(score(n, citation_precision=0.5), weights={"citation_precision": 2.0}) for n in range(4)))
    b = run_of(
        replace(score(0, citation_precision=1.0), weights={"citation_precision": 6.0}), score(1, citation_precision=0.0), score(2)
    )
    one = of(a, b, "citation_precision")
    assert (one.cases, one.a, one.b) == (3, 0.5, pytest.approx(6 / 7, abs=1e-6))
    assert (one.won, one.lost, one.ties) == (("0",), ("1",), 0)
    assert (compare_runs(a, b).cases, compare_runs(a, b).only_a, compare_runs(a, b).only_b) == (3, 1, 0)
    with pytest.raises(KBError, match="no question in common"):
        compare_runs(a, run_of(score("other")))


def test_the_worth_of_confidence_is_compared_and_gated() -> None:
    def sure(right: bool) -> Run:
        return run_of(*(replace(score(n), should_refuse=n < 10, confidence=0.2 if (n < 10) == right else 0.8) for n in range(20)))

    one = of(sure(True), sure(False), "refusal_roc_auc")
    assert (one.cases, one.a, one.b, one.difference, one.interval, one.p) == (20, 1, 0, -1, (-1, -1), None)
    assert [one.metric for one in gate(sure(False), sure(True))] == ["refusal_best_f1", "refusal_roc_auc"]
    assert gate(sure(True), sure(True)) == []


def test_a_baseline_is_one_file_without_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = tmp_path / "good.json", tmp_path / "worse.json"
    save_baseline(GOOD, path)
    save_baseline(WORSE, other)
    again = read_run(path)
    assert [one.values for one in again.scores] == [one.values for one in GOOD.scores]
    assert again.overall["hit@1"] == GOOD.overall["hit@1"]
    assert again.overall["latency_p50_ms"] is None
    assert "machine" not in again.header
    assert len(path.read_text("utf-8").splitlines()) > 30
    assert main(["--compare", str(path), str(other)]) == 0
    out = capsys.readouterr().out
    assert "hit@1 lost: 1 4 7" in out
    assert main(["--compare", str(path), str(other), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["metrics"]["hit@1"]["difference"] == -0.333333
    assert {"a", "b", "interval", "p", "won", "lost", "ties", "cases"} <= set(value["metrics"]["hit@1"])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run": {"format": 1}, "cases": [3]}', '{"run": {"format": 0}}'])
def test_what_is_no_run_is_one_sentence(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    assert main(["--compare", str(path), str(tmp_path / "nothing")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "run.json" in said.err


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    settings = load_settings(data_base=tmp_path)
    assert list_runs(settings) == []
    for name in ("20260101-000000-aa", "20260102-000000-bb", "broken"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write_json(tmp_path / "runs" / name / "run.json", HEADER if name != "broken" else [])
    (tmp_path / "runs" / "20260101-000000-aa" / "cases.jsonl").write_text('{}\n{}\n{"cut')
    newest, oldest = list_runs(settings)
    assert (newest.folder.name, newest.cases, newest.total, newest.finished) == ("20260102-000000-bb", 0, 30, False)
    assert oldest.cases == 2
    with pytest.raises(KBError, match="was not finished"):
        read_run(oldest.folder)
