"""`python -m kb models` as a user and as the page run it."""

import json
import time
from pathlib import Path

import pytest

from kb import hub, jobs, model_jobs, models
from kb.__main__ import main
from kb.errors import ModelError
from kb.settings import Settings, load_settings
from tests import tiny_models
from tests.fake_hub import FakeHub


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.llama(tmp_path_factory.mktemp("made") / "llama")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_base=tmp_path / "data_base")


def run(settings: Settings, action: str, *args: str) -> int:
    return main(["models", action, "--data-base", str(settings.data_base), *args])


def test_from_nothing_to_nothing(settings: Settings, llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(settings, "list") == 0 and "models add FOLDER" in capsys.readouterr().err
    assert run(settings, "add", str(llama), "--name", "小模型", "--progress", str(tmp_path / "progress")) == 0
    shown = capsys.readouterr().out
    assert shown == "小模型: LlamaForCausalLM, 0.8 M parameters, 2.9 MiB float32, 512 tokens, internlm2, apache-2.0\n"
    assert {json.loads(line)["stage"] for line in (tmp_path / "progress").read_text().splitlines()} == {"copy", "check"}
    (tmp_path / "key").write_text("s3cret\n")
    given = ("--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--name", "server", "--key-file", str(tmp_path / "key"))
    assert run(settings, "add", *given) == 0 and models.endpoint_key(settings, "server") == "s3cret"
    assert run(settings, "list") == 0
    shown = capsys.readouterr().out
    assert "  server: http://127.0.0.1:9/v1 (m)\n" in shown and f"    from folder {llama}\n" in shown and "s3cret" not in shown
    assert run(settings, "use", "server") == 1  # nobody is there
    assert run(settings, "check", "server") == 1
    (models.model_folder(settings, "小模型") / "README.md").unlink()
    assert run(settings, "check", "小模型") == 1 and "README.md is missing.\n" in capsys.readouterr().out
    capsys.readouterr()
    assert run(settings, "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["live"]) for row in rows] == [("server", False), ("小模型", False)]
    assert rows[1]["files"]["config.json"] and rows[0]["endpoint"] == {"url": "http://127.0.0.1:9/v1", "model": "m"}
    assert run(settings, "remove", "小模型") == 1 and "--yes" in capsys.readouterr().err
    assert run(settings, "remove", "小模型", "--yes") == 0 and "is removed" in capsys.readouterr().out
    assert [card.name for card in models.list_models(settings)] == ["server"]


@pytest.mark.parametrize(
    "args",
    [
        ("add", "/nothing/there"), ("add",), ("add", "x", "--endpoint", "http://h/v1"), ("add", "--endpoint", "http://h/v1"),
        ("add", "--endpoint", "http://h/v1", "--name", "x", "--key-file", "/nothing"), ("remove", "x", "--yes"), ("check", "x"),
        ("use", "x"), ("download", "../x"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence(settings: Settings, capsys: pytest.CaptureFixture[str], args: tuple[str, ...]) -> None:
    assert run(settings, *args) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("kb: ") and shown.err.count("\n") == 1


def test_download(settings: Settings, llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeHub(llama) as fake:
        assert run(settings, "download", fake.repo, "--hub-endpoint", fake.url, "--name", "llama") == 0
        assert (
            run(settings, "download", fake.repo, "--hub-endpoint", fake.url, "--file", "config.json", "--to", str(tmp_path)) == 0
        )
    assert capsys.readouterr().out.endswith(f"{tmp_path / 'config.json'}\n")
    assert models.get_model(settings, "llama").origin.startswith(f"hub {fake.repo}@")


def ended(settings: Settings, job: jobs.Job) -> jobs.Job:
    end = time.monotonic() + 60
    while (job := jobs.get(settings, job.id)).alive:
        assert time.monotonic() < end, job.tail()
        time.sleep(0.05)
    return job


def test_as_jobs(settings: Settings, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = ended(settings, model_jobs.add_model_job(settings, llama, "小模型"))
    assert (added.state, added.subject, added.kind) == ("done", "小模型", "model"), added.tail()
    assert added.progress and added.progress.done == added.progress.total
    with FakeHub(llama) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        fetched = ended(settings, model_jobs.download_model_job(settings, fake.repo))
    assert fetched.state == "done", fetched.tail()
    assert [card.name for card in models.list_models(settings)] == ["internlm2_5-1_8b-chat", "小模型"]
    failed = ended(settings, model_jobs.add_model_job(settings, llama, "小模型"))
    assert failed.state == "failed" and "already" in failed.tail()
    for wrong in ("--to=/tmp", "a/../b"):
        with pytest.raises(ModelError):
            model_jobs.download_model_job(settings, wrong)
    with pytest.raises(ModelError):
        model_jobs.add_model_job(settings, llama, "../x")


def test_ctrl_c_says_what_stays(
    settings: Settings, llama: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "_fetch_all", stopped)
    with FakeHub(llama) as fake:
        assert run(settings, "download", fake.repo, "--hub-endpoint", fake.url) == 1
    assert "goes on with it" in capsys.readouterr().err
