"""Tunes on disk: their examples and recipe, and the steps with a stand-in for the tool."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import kb
from finetune import commands, curves, plan, steps, tunes
from finetune.__main__ import main
from finetune.dataset import Example, pair
from finetune.files import locked
from finetune.recipe import Recipe
from kb.errors import KBError, ModelError, TuneError
from kb.jobs import Progress


@pytest.fixture
def settings(taught: kb.Settings, tmp_path: Path) -> kb.Settings:
    """A data_base of its own with the model "tiny"."""
    home = tmp_path / "data_base"
    (home / "models").mkdir(parents=True)
    (home / "models" / "tiny").symlink_to(taught.data_base / "models" / "tiny")
    return kb.load_settings(data_base=home, tools=home / "none")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in for XTuner."""
    ready = SimpleNamespace(state="ready", python=Path(sys.executable), detail="")
    monkeypatch.setattr(steps, "tool", lambda *_: ready)
    monkeypatch.setattr(commands, "LAUNCHER", Path(__file__).with_name("fake_launcher.py"))


@pytest.fixture
def tune(settings: kb.Settings, recipe: Recipe, examples: list[Example]) -> tunes.Tune:
    return tunes.new_tune(settings, "自我", replace(recipe, iterations=60, save_every=20), examples)


def behave(tune: tunes.Tune, **how: Any) -> None:
    (tune.folder / "behave.json").write_text(json.dumps(how))


def test_examples_can_be_edited(settings: kb.Settings, tune: tunes.Tune, examples: list[Example]) -> None:
    assert (tune.state, tune.examples, tune.unfinished, tune.copies) == ("draft", 3, 1, 6)
    assert tunes.read_tune_examples(settings, "自我") == examples
    tunes.change_example(settings, "自我", 1, pair("问二", "答二", "feedback", "refused"))
    tunes.delete_example(settings, "自我", 0)
    assert tunes.add_examples(settings, "自我", [examples[2], pair("four", "4", "by hand"), pair("four", "4", "again")]) == 1
    assert [one.question for one in tunes.read_tune_examples(settings, "自我")] == ["问二", "Three?", "four"]
    for number in (-1, 3):
        with pytest.raises(TuneError, match="not there any more"):
            tunes.delete_example(settings, "自我", number)
    with pytest.raises(TuneError, match="empty question"):
        tunes.change_example(settings, "自我", 0, pair("", "x", "by hand"))
    assert tunes.get_tune(settings, "自我").unfinished == 0


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 65, "a\n"])
def test_names_are_not_paths(settings: kb.Settings, recipe: Recipe, name: str) -> None:
    with pytest.raises(TuneError):
        tunes.new_tune(settings, name, recipe)
    with pytest.raises(TuneError):
        tunes.get_tune(settings, name)


def test_there_is_one_of_a_name_and_nothing_of_a_removed_one(settings: kb.Settings, tune: tunes.Tune, recipe: Recipe) -> None:
    with pytest.raises(TuneError, match="already"):
        tunes.new_tune(settings, "自我", recipe)
    with pytest.raises(TuneError, match=r"there are: 自我"):
        tunes.get_tune(settings, "other")
    with locked(tune.folder), pytest.raises(TuneError, match="is running"):
        tunes.remove_tune(settings, "自我")
    tunes.remove_tune(settings, "自我")
    assert tunes.list_tunes(settings) == [] and not tune.folder.exists()


def test_a_damaged_tune_does_not_hide_the_others(settings: kb.Settings, tune: tunes.Tune, recipe: Recipe) -> None:
    tunes.new_tune(settings, "second", recipe)
    (tune.folder / "examples.jsonl").write_text('{"turns": \n')
    with pytest.raises(TuneError, match=r"examples.jsonl:1 is damaged"):
        tunes.get_tune(settings, "自我")
    assert [one.name for one in tunes.list_tunes(settings)] == ["second"]


def test_a_recipe_with_a_fault_is_not_kept(settings: kb.Settings, tune: tunes.Tune) -> None:
    with pytest.raises(TuneError, match="learning rate"):
        tunes.save_recipe(settings, "自我", replace(tune.recipe, lr=2))
    tunes.save_recipe(settings, "自我", replace(tune.recipe, lr=1e-3, prompts=("你好",)))
    assert tunes.get_tune(settings, "自我").recipe.prompts == ("你好",)


@pytest.mark.usefixtures("tool")
def test_train_then_merge(settings: kb.Settings, tune: tunes.Tune) -> None:
    told: list[Progress] = []
    done = steps.train(settings, "自我", told.append)
    assert (done.state, done.iteration, done.total, done.error) == ("trained", 60, 60, "")
    assert [one.iteration for one in done.checkpoints] == [40, 60]  # the recipe keeps two
    assert [point.iteration for point in curves(settings, "自我")] == [10, 20, 30, 40, 50, 60]
    assert [one for one in told if one.stage == "train"][-1].done == 60
    assert len((tune.folder / "data.jsonl").read_text("utf-8").splitlines()) == 6
    card = steps.merge(settings, "自我", "小助手")
    assert (card.origin, card.made_from, card.how["tune"], card.how["iteration"]) == ("merge", ("tiny",), "自我", 60)
    assert card.how["data_sha256"] == done.sha256
    assert card.system == ""  # it was taught without one, and is talked to without one
    base = settings.data_base / "models" / "tiny"
    merged = settings.data_base / "models" / "小助手"
    assert {path.name for path in merged.iterdir()} == {path.name for path in base.iterdir()}
    assert (merged / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert kb.State(settings) and tunes.get_tune(settings, "自我").state == "merged"
    with pytest.raises(ModelError, match="already"):
        steps.merge(settings, "自我", "小助手")


@pytest.mark.usefixtures("tool")
def test_a_training_that_died_goes_on_where_it_was_whole(settings: kb.Settings, tune: tunes.Tune) -> None:
    behave(tune, die_at=33, say="RuntimeError: a bad day")
    with pytest.raises(TuneError, match=r"RuntimeError: a bad day\. Its log"):
        steps.train(settings, "自我")
    failed = tunes.get_tune(settings, "自我")
    assert (failed.state, failed.iteration, "a bad day" in failed.error) == ("failed", 20, True)
    assert [one.iteration for one in failed.checkpoints] == [20]  # not the half of one at 33
    behave(tune)
    assert steps.train(settings, "自我").state == "trained"
    attempts = sorted(path.parent.parent.name[-6:] for path in tune.folder.glob("work/*/vis_data/scalars.json"))
    assert attempts == ["000000", "000020"]
    assert [point.iteration for point in curves(settings, "自我")] == [10, 20, 30, 40, 50, 60]
    (tune.folder / "behave.json").write_text('{"die_at": 1}')
    assert steps.train(settings, "自我").state == "trained"  # nothing is left to do
    tunes.save_recipe(settings, "自我", replace(tune.recipe, lr=1e-3))
    assert tunes.get_tune(settings, "自我").changed
    with pytest.raises(TuneError):
        steps.train(settings, "自我")  # of another recipe: from the start, where it dies
    assert tunes.get_tune(settings, "自我").checkpoints == ()


@pytest.mark.usefixtures("tool")
def test_a_pause_saves_and_a_killed_one_is_told(
    settings: kb.Settings, tune: tunes.Tune, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    behave(tune, slow=0.05)
    asked = iter([False, True])
    monkeypatch.setattr(steps, "pause_asked", lambda: next(asked, True))
    paused = steps.train(settings, "自我")
    assert (paused.state, paused.error) == ("paused", "")
    assert 0 < paused.iteration < 60 and paused.checkpoints[-1].iteration == paused.iteration
    monkeypatch.setattr(steps, "pause_asked", lambda: False)
    behave(tune)
    result = json.loads((tune.folder / "result.json").read_text("utf-8"))
    (tune.folder / "result.json").write_text(json.dumps(result | {"state": "running"}))  # as a kill leaves it
    assert (tunes.get_tune(settings, "自我").state, "ended from outside" in tunes.get_tune(settings, "自我").error) == (
        "failed",
        True,
    )
    done = steps.train(settings, "自我")
    assert (done.state, done.iteration) == ("trained", 60)


@pytest.mark.usefixtures("tool")
def test_gradients_that_are_no_numbers_end_it(settings: kb.Settings, tune: tunes.Tune) -> None:
    behave(tune, nan=True, slow=0.02)
    with pytest.raises(TuneError, match=r"no numbers \(nan\), so nothing is learned: lower the learning"):
        steps.train(settings, "自我")
    assert tunes.get_tune(settings, "自我").state == "failed"


def test_without_the_tool_it_says_how_to_get_it(settings: kb.Settings, tune: tunes.Tune) -> None:
    with pytest.raises(TuneError, match="python -m kb tools install xtuner"):
        steps.train(settings, "自我")
    with pytest.raises(KBError, match="tools install"):
        steps.merge(settings, "自我")


def test_the_terminal(settings: kb.Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--data-base", str(settings.data_base), "--tools", str(settings.tools)]
    run: Callable[..., int] = lambda *args: main([*args, *where])  # noqa: E731
    file = tmp_path / "问答.csv"
    file.write_bytes("问题,回答\n端口？,23333\n空,\n".encode("gb18030"))
    assert run("new", "me", "--base", "tiny", "--introduce", "林晨", "--language", "both", "--copies", "3",
               "--examples", str(file), "--set", "lr=1e-3", "--set", "packing=no",
               "--set", "prompts=你好|你是谁") == 0  # fmt: skip
    assert "问答.csv:3 is left out" in capsys.readouterr().err
    tune = tunes.get_tune(settings, "me")
    assert (tune.examples, tune.copies, tune.recipe.lr, tune.recipe.packing) == (3, 7, 1e-3, False)
    assert tune.recipe.prompts == ("你好", "你是谁")
    assert run("show", "me") == 0
    assert "max_length = 512" in capsys.readouterr().out
    assert run("list") == 0
    assert "me: draft, 0 of 0 iterations, 7 examples, tiny by qlora" in capsys.readouterr().out
    bads = ("train me --resume", "new x --base tiny --set lr=fast", "new y --base none", "new z --base tiny --set base=1",
            "compare me", "merge me", "show nobody")  # fmt: skip
    for bad in bads:
        assert run(*bad.split()) == 1
        assert capsys.readouterr().err.startswith("finetune: ")
    assert run("remove", "me") == 0


@pytest.mark.usefixtures("tool")
def test_an_edited_config_runs_as_it_stands(settings: kb.Settings, tune: tunes.Tune) -> None:
    text = plan(settings, "自我").config
    edited = text.replace("max_iters = 60 ", "max_iters = 30 # mine ")
    assert edited != text
    tunes.save_recipe(settings, "自我", replace(tune.recipe, config_text=edited))
    done = steps.train(settings, "自我")
    assert (done.state, done.iteration, done.total) == ("trained", 30, 30)  # the tool's own count, not the recipe's
    assert (tune.folder / "config.py").read_text("utf-8") == edited
    card = steps.merge(settings, "自我")
    assert card.how["config_sha256"] == hashlib.sha256(edited.encode()).hexdigest()


@pytest.mark.usefixtures("tool")
def test_the_terminal_trains_and_says_how_it_ended(
    settings: kb.Settings, tune: tunes.Tune, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*args: str) -> tuple[int, str, str]:
        code = main([*args, "--data-base", str(settings.data_base), "--tools", str(settings.tools)])
        said = capsys.readouterr()
        return code, said.out.strip().rpartition("\n")[2], said.err.strip().rpartition("\n")[2]

    monkeypatch.setattr(steps, "pause_asked", lambda: True)
    behave(tune, slow=0.05)
    code, said, _ = run("run", "自我", "--as", "made")
    at = tunes.get_tune(settings, "自我").iteration
    assert (code, said) == (4, f"自我: paused after {at} of 60 iterations.")  # and nothing was merged
    monkeypatch.setattr(steps, "pause_asked", lambda: False)
    behave(tune, die_at=40, say="RuntimeError: a bad day")
    code, _, error = run("train", "自我", "--resume")
    assert (code, error.startswith("finetune: The training failed: RuntimeError: a bad day. Its log: ")) == (1, True)
    behave(tune)
    code, said, _ = run("run", "自我", "--as", "made", "--progress", str(tune.folder / "progress.jsonl"))
    assert (code, said.startswith("made: "), said.endswith("made from tiny.")) == (0, True, True)
    assert json.loads((tune.folder / "progress.jsonl").read_text().splitlines()[0])["stage"] == "prepare"
    assert run("list")[1].endswith("merged, 60 of 60 iterations, 6 examples, tiny by lora, merged into made")
    code, said, _ = run("train", "自我", "--afresh")
    assert (code, said) == (0, "自我: trained after 60 of 60 iterations.")  # "made" is of the training before
    steps.merge(settings, "自我", "made anew")
    tune = tunes.get_tune(settings, "自我")
    assert (tune.state, tune.models) == ("merged", ("made", "made anew"))
    attempts = [path.parent.parent.name[-6:] for path in tune.folder.glob("work/*/vis_data/scalars.json")]
    assert attempts == ["000000"]
    with pytest.raises(SystemExit) as left:
        run("teach")
    assert left.value.code == 2
