"""Evaluating a real knowledge base: the command, what it keeps, going on after a kill, failing answers."""

import fcntl
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kb
from eval import evaluate, evaluate_job, list_runs, read_run
from eval.__main__ import main
from eval.lines import CaseLine, LineHit
from eval.run import _quote, _with_found
from kb.errors import KBError
from kb.records import Chunk, Found, Hit, Quote
from tests.eval.conftest import QUESTIONS

Write = Callable[..., Path]


def command(settings: kb.Settings, questions: Path, *args: str) -> list[str]:
    return ["--kb", "kitchen", "--data-base", str(settings.data_base), "--questions", str(questions), *args]


def test_json_has_what_is_promised(kitchen: kb.Settings, questions: Path, tmp_path: Path, capsys: Any) -> None:
    """With a row that cannot be used."""
    questions.write_text(questions.read_text("utf-8") + "{\n", "utf-8")
    out, progress = tmp_path / "run", tmp_path / "progress.jsonl"
    assert main(command(kitchen, questions, "--json", "--out", str(out), "--progress", str(progress))) == 3
    value = json.loads(capsys.readouterr().out)
    assert {"metrics", "intervals", "run"} <= set(value)
    overall = value["metrics"]["overall"]
    assert {
        "hit@1", "hit@5", "hit@10", "mrr@10", "ndcg@10", "citation_precision", "citation_recall", "citation_document_precision",
        "answer_key", "em", "f1", "answer_contained", "refusal_precision", "refusal_recall", "refusal_f1", "refusal_best_f1",
        "refusal_roc_auc", "refusal_recall_off_topic", "false_refusal_rate", "latency_p50_ms", "latency_p95_ms",
        "retrieval_p50_ms", "retrieval_p95_ms",
    } <= set(overall)  # fmt: skip
    for name in ("hit@1", "mrr@10", "ndcg@10", "answer_key", "answer_contained", "refusal_f1", "citation_recall"):
        assert overall[name] == 1, name
    assert overall["false_refusal_rate"] == 0
    assert overall["latency_p95_ms"] >= overall["retrieval_p95_ms"] > 0
    assert set(value["metrics"]["slices"]) == {"lang=en", "lang=zh", "repo=pantry"}
    assert value["intervals"]["hit@1"] == [1, 1]
    assert value["problems"] == ["questions.jsonl:5: it is not JSON (Expecting property name enclosed in double quotes: line 1 "
                                 "column 2 (char 1))"]  # fmt: skip
    run = value["run"]
    assert (run["kb"], run["generation"], run["cases"], run["jobs"], run["latency_under_load"]) == ("kitchen", 1, 4, 1, False)
    assert json.loads(progress.read_text("utf-8").splitlines()[-1])["done"] == 4
    assert json.loads(json.dumps(read_run(out).as_json())) == value


def test_a_run_is_kept_with_its_texts(kitchen: kb.Settings, questions: Path, tmp_path: Path) -> None:
    run = evaluate(kitchen, "kitchen", questions, tmp_path / "run")
    line = (read_run(tmp_path / "run").lines or {})["noodles"]
    assert line == (run.lines or {})["noodles"]
    assert line.ranked[0] == ("noodles.md",)
    assert line.hits[0].path == "noodles.md"
    assert "four minutes" in line.answer
    assert any(quote.text == "Boil the noodles for four minutes in salted water." for quote in line.quotes)
    assert 0 < (line.found_seconds or 0) <= (line.seconds or 0)
    header = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert header["settings"]["top_k"] == 8
    assert "MiniLM" in header["settings"]["embed_model"]
    assert "endpoint_model" not in header["settings"]  # quotations do not depend on it


def test_a_run_keeps_no_secret_and_no_place(kitchen: kb.Settings, questions: Path, tmp_path: Path) -> None:
    settings = kitchen.model_copy(update={"hub_token": "hf_secret", "endpoint_key": "sk_secret", "tools": tmp_path / "tools"})
    evaluate(settings, "kitchen", questions, tmp_path / "run", limit=1)
    for file in (tmp_path / "run").iterdir():
        content = file.read_text("utf-8")
        assert "secret" not in content
        assert str(tmp_path) not in content
        assert str(kitchen.data_base) not in content


def test_a_killed_run_goes_on(kitchen: kb.Settings, questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    evaluate(kitchen, "kitchen", questions, out, limit=2)
    lines = out / "cases.jsonl"
    first, second = lines.read_text("utf-8").splitlines()
    marked = json.dumps(json.loads(first) | {"answer": "kept"})
    lines.write_text(f"{marked}\n{second[: len(second) // 2]}", "utf-8")
    run = evaluate(kitchen, "kitchen", questions, out, jobs=3)
    assert len(run.scores) == 4
    rows = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in QUESTIONS)
    assert rows[0]["answer"] == "kept"
    assert (run.header["jobs"], run.header["latency_under_load"]) == (3, True)
    before = lines.read_bytes()
    assert evaluate(kitchen, "kitchen", questions, out).overall == run.overall
    assert lines.read_bytes() == before


def test_another_run_in_the_folder_is_refused(
    kitchen: kb.Settings, questions: Path, write_questions: Write, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    evaluate(kitchen, "kitchen", questions, out, limit=1)
    with pytest.raises(KBError, match=r"the settings \(top_k\)"):
        evaluate(kitchen.model_copy(update={"top_k": 3}), "kitchen", questions, out)
    with pytest.raises(KBError, match="different in the questions:"):
        evaluate(kitchen, "kitchen", write_questions(QUESTIONS[:2], "other.jsonl"), out)
    (out / "cases.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(KBError, match=r"cases\.jsonl:1 is damaged"):
        evaluate(kitchen, "kitchen", questions, out)


def test_one_run_at_a_time_writes_to_a_folder(kitchen: kb.Settings, questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with (out / "cases.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(KBError, match="Another run is writing"):
            evaluate(kitchen, "kitchen", questions, out)


def test_documents_go_by_all_their_names() -> None:
    """Twice the same document, its twin's name, and the source's name where there are several."""
    chunk = Chunk("k-1", "k", 0, (), 1, 1, "text")
    hits = (Hit(1, chunk, "docs", "a.md", "A", 1.0, ("zh/a.md",)), Hit(2, chunk, "docs", "a.md", "A", 0.5, ("zh/a.md",)))
    line = CaseLine("q", "?", 1)
    found = Found("?", 1, hits, 0.7)
    assert _with_found(line, found, 0.1, several=False).ranked == (("a.md", "zh/a.md"),)
    assert _with_found(line, found, 0.1, several=True).ranked == (("a.md", "zh/a.md", "docs/a.md"),)


def test_a_case_fails_and_not_the_run(kitchen: kb.Settings, questions: Path, tmp_path: Path, capsys: Any) -> None:
    gone = kitchen.model_copy(update={"endpoint_url": "http://127.0.0.1:9/v1", "connect_seconds": 1, "refuse_below": 0.0})
    run = evaluate(gone, "kitchen", questions, tmp_path / "run", jobs=2)
    assert set(run.failed) == {row["id"] for row in QUESTIONS}
    assert "cannot be reached" in run.failed["tea"]
    assert (run.overall["failed"], run.overall["hit@1"], run.overall["refusal_recall"]) == (4, 0, 0)
    assert run.header["settings"]["answers"] == "endpoint"


def test_the_gate_of_the_command(
    kitchen: kb.Settings, questions: Path, write_questions: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = write_questions([row | {"id": f"{row['id']} {n}"} for n in range(4) for row in QUESTIONS], "many.jsonl")
    baseline = tmp_path / "baseline.json"
    assert main(command(kitchen, many, "--save-baseline", str(baseline))) == 0
    assert "hit@1" in capsys.readouterr().out
    assert "Boil" not in baseline.read_text("utf-8")
    assert main(command(kitchen, many, "--gate", str(baseline))) == 0
    assert "no metric is worse" in capsys.readouterr().err
    # Gold that nothing finds: the same questions, answered worse.
    lost = [row | {"gold_doc_ids": ["gone.md"], "gold": [], "answer_keys": ["gone"]} for row in QUESTIONS]
    worse = write_questions([row | {"id": f"{row['id']} {n}"} for n in range(4) for row in lost], "worse.jsonl")
    assert main(command(kitchen, worse, "--gate", str(baseline))) == 1
    said = capsys.readouterr().err
    assert "hit@1 dropped from 1.000 to" in said
    assert "answer_key dropped" in said
    assert "lost: noodles 0" in said


def test_each_mistake_is_one_sentence(kitchen: kb.Settings, questions: Path, tmp_path: Path, capsys: Any) -> None:
    for argv in (
        command(kitchen, tmp_path / "none.jsonl"),
        ["--kb", "nothing", "--data-base", str(kitchen.data_base), "--questions", str(questions)],
        command(kitchen, questions, "--gate", str(tmp_path / "none")),
        command(kitchen, questions, "--out", str(questions)),
    ):
        assert main(argv) == 1
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1), said.err


def test_a_citation_is_cut_out_of_its_passage() -> None:
    """Lines count in the document; a table that goes on repeats its header above its first line."""
    hit = LineHit(1, "s", "d.md", (), 10, 11, (), "| a |\n|---|\n| ten |\n| eleven |", 1.0)
    assert _quote(Quote(1, 10, 10), [hit]).text == "| ten |"
    assert _quote(Quote(1, 11, 11), [hit]).text == "| eleven |"
    assert _quote(Quote(1, 9, 10), [hit]).text == "| ten |"


def test_it_runs_as_a_job(kitchen: kb.Settings, questions: Path) -> None:
    job = evaluate_job(kitchen, "kitchen", questions)
    deadline = time.monotonic() + 60
    while (job := kb.jobs.get(kitchen, job.id)).alive and time.monotonic() < deadline:
        time.sleep(0.1)
    assert job.state == "done", job.tail()
    assert job.progress is not None
    assert (job.progress.done, job.progress.total) == (4, 4)
    info = list_runs(kitchen)[0]
    assert (info.kb, info.cases, info.total, info.finished) == ("kitchen", 4, 4, True)
