"""Train, then merge: XTuner's tools, run in their own environment, watched and told of."""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune.commands import PAUSE, TOOL, adapter_argv, environment, merge_argv, train_argv
from finetune.dataset import data_lines
from finetune.device import device
from finetune.files import locked, read_json, write_json, write_whole
from finetune.planning import plan_of, teachable
from finetune.progress import LOG, why_failed
from finetune.tunes import (
    ADAPTER,
    CONFIG,
    DATA,
    RESULT,
    WORK,
    Tune,
    asked_of,
    checkpoints,
    get_tune,
    read_tune_examples,
)
from finetune.watch import Watch
from kb.disk import enough_room
from kb.errors import TuneError
from kb.jobs import PAUSED, Progress, pause_asked, run_tool
from kb.models import Card, building, model_folder, register
from kb.settings import Settings
from kb.tools import tool

Tell = Callable[[Progress], None]


def train(settings: Settings, name: str, tell: Tell | None = None) -> Tune:
    """Train to the end, or until a pause is asked for. Goes on from the last checkpoint where there is one of the same recipe
    and the same examples (start_over() forgets it).

    Raises:
        TuneError: it cannot start, or it failed; what it said last, and where its log is.
    """
    folder = get_tune(settings, name).folder
    python = _python(settings)
    with locked(folder):
        _train(settings, get_tune(settings, name), python, tell or _printed)
    return get_tune(settings, name)


def merge(settings: Settings, name: str, model: str = "", tell: Tell | None = None) -> Card:
    """Make a model of the tune's last checkpoint and its base: checkpoint → adapter → merged folder → models/<model>.

    Raises:
        TuneError: nothing is trained, or a step failed.
        ModelError: there is a model of that name, or the disk is too small.
    """
    tell, model = tell or _printed, model or name
    folder = get_tune(settings, name).folder
    python = _python(settings)
    with locked(folder), building(settings, model) as part:
        tune = get_tune(settings, name)
        if not tune.checkpoints:
            raise TuneError(f"The tune {name!r} is not trained yet: train it first.")
        base = teachable(settings, tune.recipe.base)
        enough_room(part.parent, base.bytes)
        checkpoint, env = tune.checkpoints[-1], environment(folder, base)
        tell(Progress("adapter", 0, 1, note=f"Taking the adapter out of {checkpoint.path.name}."))
        adapter = folder / f"{ADAPTER}.part"
        shutil.rmtree(adapter, ignore_errors=True)
        _run(adapter_argv(python, folder, checkpoint.path, adapter), folder, env, tune, "Taking the adapter out")
        _check_adapter(adapter, tune)
        shutil.rmtree(folder / ADAPTER, ignore_errors=True)
        adapter.rename(folder / ADAPTER)
        tell(Progress("merge", 0, 1, note=f"Merging it into {base.name}."))
        base_folder = model_folder(settings, base.name)
        _run(merge_argv(python, base_folder, folder / ADAPTER, part), folder, env, tune, "Merging")
        _keep_the_bases_files(base_folder, part)
        how = {"step": "merge", "tune": name, "iteration": checkpoint.iteration, "data_sha256": tune.sha256,
               "recipe": replace(tune.recipe, config_text="").as_json(), "config_sha256": _sha256(folder / CONFIG)}  # fmt: skip
        return register(settings, part, model, origin="merge", made_from=(base.name,), how=how, system=tune.recipe.system,
                        tell=tell)  # fmt: skip


def _train(settings: Settings, tune: Tune, python: Path, tell: Tell) -> None:
    """train() under the lock. `tune` as it was when the lock was taken."""
    folder = tune.folder
    before, asked = read_json(folder / RESULT), asked_of(folder)
    same = before.get("asked") == asked
    if same and before.get("state") == "trained":
        tell(Progress("train", tune.iteration, tune.total, "iterations", note="It is trained already: merge it."))
        return
    tell(Progress("prepare", 0, 1, note=f"Teaching {tune.recipe.base} on {device().name}."))
    examples = read_tune_examples(settings, tune.name)
    made = plan_of(settings, folder, tune.recipe, examples)
    for sentence in made.warnings:
        tell(Progress("prepare", 0, 1, note=f"Note: {sentence}"))
    resume = tune.checkpoints[-1] if same and tune.checkpoints else None
    if resume is None:
        shutil.rmtree(folder / WORK, ignore_errors=True)
    (folder / WORK).mkdir(exist_ok=True)
    (folder / PAUSE).unlink(missing_ok=True)
    write_whole(folder / DATA, data_lines(examples, tune.recipe.system))
    write_whole(folder / CONFIG, [made.config])
    began = resume.iteration if resume else 0
    result: dict[str, Any] = {"asked": asked, "sha256": _sha256(folder / DATA), "total": made.schedule.total,
                              "iteration": began, "device": device().name, "started": time.time()}  # fmt: skip
    watch = Watch(folder, tune.recipe, began, made.schedule.total, tell)
    with _recorded(folder, result, watch):
        argv = train_argv(python, folder, resume.path if resume else None)
        card = teachable(settings, tune.recipe.base)
        code = run_tool(argv, cwd=folder, env=environment(folder, card), log=folder / WORK / LOG, tick=lambda: _tick(watch))
        watch.look()
        if code == PAUSED:
            result["state"] = "paused"
        elif code:
            raise TuneError(why_failed(code, folder / WORK / LOG, tune.recipe))
        else:
            result["state"] = "trained"
    _clean(folder, tune.recipe.keep_checkpoints)


def _tick(watch: Watch) -> None:
    if pause_asked():
        (watch.folder / PAUSE).touch()
    watch.look()


@contextmanager
def _recorded(folder: Path, result: dict[str, Any], watch: Watch) -> Iterator[None]:
    """Write how a training stands before and after it, however it ends; a kill of this process leaves "running" behind."""
    write_json(folder / RESULT, result | {"state": "running"})
    error = "It was cancelled: train again, it goes on from its last checkpoint."
    try:
        yield
        error = ""
    except TuneError as failed:
        error = str(failed)
        raise
    finally:
        if error:
            result |= {"state": "failed", "error": error}
        saved = checkpoints(folder)
        done = watch.total if result["state"] == "trained" else saved[-1].iteration if saved else 0
        (folder / PAUSE).unlink(missing_ok=True)
        write_json(folder / RESULT, result | {"iteration": done, "total": watch.total, "ended": time.time()})


def _run(argv: list[str], folder: Path, env: dict[str, str], tune: Tune, what: str) -> None:
    log = folder / WORK / LOG
    code = run_tool(argv, cwd=folder, env=env, log=log)
    if code:
        raise TuneError(why_failed(code, log, tune.recipe, what))


def _check_adapter(adapter: Path, tune: Tune) -> None:
    """An adapter of another version of peft is read as rank 8 on no layer, with a warning at most."""
    config = read_json(adapter / "adapter_config.json")
    if not config.get("target_modules") or (not tune.recipe.config_text and config.get("r") != tune.recipe.rank):
        raise TuneError(f"{adapter / 'adapter_config.json'} is not of this recipe: train again with `--afresh`.")
    if not (adapter / "adapter_model.safetensors").is_file():
        raise TuneError(f"{adapter} holds no adapter_model.safetensors: look at {tune.log}.")


def _keep_the_bases_files(base: Path, part: Path) -> None:
    """Merging changes weights only; what another version of transformers wrote about them is put back as the base has it."""
    for path in part.iterdir():
        if path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
            path.unlink()
    for path in base.iterdir():
        if (
            path.is_file()
            and path.suffix != ".safetensors"
            and not path.name.endswith(".index.json")
            and path.name != "card.json"
        ):
            shutil.copyfile(path, part / path.name)


def _clean(folder: Path, keep: int) -> None:
    """Take away the caches, and checkpoints that the tool forgot: it knows only those it wrote since it was started."""
    shutil.rmtree(folder / WORK / "cache", ignore_errors=True)
    for old in checkpoints(folder)[:-keep]:
        old.path.unlink()


def _python(settings: Settings) -> Path:
    there = tool(settings, TOOL)
    if there.state != "ready":
        raise TuneError(
            f"XTuner's environment is {there.state}{f' ({there.detail})' if there.detail else ''}: "
            f"`python -m kb tools install {TOOL}` makes it."
        )
    return there.python


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _printed(progress: Progress) -> None:
    if progress.note:
        print(progress.note, file=sys.stderr, flush=True)
