"""A tune is a folder: data_base/tunes/<name>/

examples.jsonl  as they are edited       recipe.json   how it is taught, written last
data.jsonl      what is trained on       config.py     what XTuner reads
work/           XTuner's own             result.json   how the last training stands or ended
adapter/        what was learned         compare.json  answers before and after
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finetune.dataset import Example, example_from, example_json, fault
from finetune.files import locked, read_json, running, saving, write_json, write_whole
from finetune.recipe import Recipe, recipe_from
from kb.errors import TuneError
from kb.names import bad_name
from kb.settings import Settings

if TYPE_CHECKING:
    from kb.models import Card

EXAMPLES, RECIPE, DATA, CONFIG, WORK, ADAPTER = "examples.jsonl", "recipe.json", "data.jsonl", "config.py", "work", "adapter"
RESULT, COMPARED = "result.json", "compare.json"
_NAME_BYTES = 64
_log = logging.getLogger(__name__)

# draft: never trained; running: a process is at it; paused, failed: `error` says why, its checkpoints can be gone on with;
# trained: to be merged; merged: a model was made of it since.
TuneState = Literal["draft", "running", "paused", "failed", "trained", "merged"]
_LOST = "The training was ended from outside (killed, or the machine went off): train again, it goes on from its last checkpoint."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A saved state of training that it can go on from."""

    iteration: int
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Tune:
    """A tune as its folder tells it. `examples` are rows, `unfinished` of them lack an answer, `copies` will be trained on.

    `iteration` of `total` are trained (0 of 0: not started); `changed`: examples or recipe are not those it was trained with.
    `models`: those merged from it, oldest first. `sha256` of data.jsonl, once that is written. `log`: of the last run.
    """

    name: str
    folder: Path
    recipe: Recipe
    examples: int
    unfinished: int
    copies: int
    state: TuneState
    error: str
    iteration: int
    total: int
    checkpoints: tuple[Checkpoint, ...]
    changed: bool
    models: tuple[str, ...]
    sha256: str
    created: float
    log: Path


def tunes_root(settings: Settings) -> Path:
    """Where all tunes lie."""
    return settings.data_base / "tunes"


def tune_folder(settings: Settings, name: str) -> Path:
    """Raises TuneError for a name that cannot be a folder's."""
    if sentence := bad_name(name, "a tune", _NAME_BYTES):
        raise TuneError(sentence)
    return tunes_root(settings) / name


def new_tune(settings: Settings, name: str, recipe: Recipe, examples: Sequence[Example] = ()) -> Tune:
    """Raises TuneError: the name cannot be used or is taken, or the recipe or an example has a fault."""
    folder = tune_folder(settings, name)
    _check(recipe, examples)
    with saving(folder):
        taken = {path.name.casefold() for path in tunes_root(settings).glob("*") if (path / RECIPE).is_file()}
        if name.casefold() in taken:
            raise TuneError(f"There is a tune {name!r} already: choose another name.")
        shutil.rmtree(folder, ignore_errors=True)  # what a broken attempt left
        folder.mkdir(parents=True)
    _write_examples(folder, examples)
    write_json(folder / RECIPE, recipe.as_json() | {"created": time.time()})
    return get_tune(settings, name)


def list_tunes(settings: Settings) -> list[Tune]:
    """Newest first. One whose files are damaged is not among them; the log says so."""
    found = []
    for path in tunes_root(settings).glob(f"*/{RECIPE}"):
        try:
            found.append(_read(settings, path.parent))
        except TuneError as error:
            _log.warning("%s", error)
    return sorted(found, key=lambda tune: tune.created, reverse=True)


def get_tune(settings: Settings, name: str) -> Tune:
    """Raises TuneError, naming those there are, when there is none of that name or it is damaged."""
    return _read(settings, _existing(settings, name))


def remove_tune(settings: Settings, name: str) -> None:
    """Remove its examples, checkpoints and adapter; models merged from it stay. Raises TuneError while it runs."""
    folder = _existing(settings, name)
    with saving(folder), locked(folder):
        (folder / RECIPE).unlink()  # first: what is left is no tune
        shutil.rmtree(folder)


def start_over(settings: Settings, name: str) -> None:
    """Forget what was trained, so that the next training begins anew. Merged models stay. Raises TuneError while it runs."""
    folder = _existing(settings, name)
    with saving(folder), locked(folder):
        for path in (folder / WORK, folder / ADAPTER):
            shutil.rmtree(path, ignore_errors=True)
        (folder / RESULT).unlink(missing_ok=True)


def read_tune_examples(settings: Settings, name: str) -> list[Example]:
    """As they are edited, in order. Raises TuneError where there is no such tune, or a row is damaged."""
    return _examples(_existing(settings, name))


def save_examples(settings: Settings, name: str, examples: Sequence[Example]) -> None:
    """Put these in place of all. Raises TuneError while it runs, and for an example that has a fault."""
    folder = _existing(settings, name)
    _check(None, examples)
    with locked(folder):
        _write_examples(folder, examples)


def add_examples(settings: Settings, name: str, examples: Iterable[Example]) -> int:
    """Add those that are not there yet; returns how many that are."""
    there = read_tune_examples(settings, name)
    known = {example.turns for example in there}
    new = [example for example in {one.turns: one for one in examples}.values() if example.turns not in known]
    save_examples(settings, name, [*there, *new])
    return len(new)


def change_example(settings: Settings, name: str, number: int, example: Example) -> None:
    """Put `example` in place of the one at `number`, counted from 0."""
    save_examples(settings, name, [example if at == number else one for at, one in _numbered(settings, name, number)])


def delete_example(settings: Settings, name: str, number: int) -> None:
    """`number` counts from 0."""
    save_examples(settings, name, [one for at, one in _numbered(settings, name, number) if at != number])


def save_recipe(settings: Settings, name: str, recipe: Recipe) -> None:
    """Raises TuneError for the first fault of the recipe, and while it runs."""
    folder = _existing(settings, name)
    _check(recipe, ())
    with locked(folder):
        write_json(folder / RECIPE, recipe.as_json() | {"created": read_json(folder / RECIPE)["created"]})


def asked_of(folder: Path) -> str:
    """A hash of what a training is asked: recipe and examples. One that was asked something else cannot be gone on with."""
    recipe = {key: value for key, value in read_json(folder / RECIPE).items() if key != "created"}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    digest.update((folder / EXAMPLES).read_bytes())
    return digest.hexdigest()


def checkpoints(folder: Path) -> tuple[Checkpoint, ...]:
    """Oldest first. The tool names the last one when it is whole: a later one was being written when the tool was killed."""
    try:
        last = _iteration((folder / WORK / "last_checkpoint").read_text("utf-8").strip())
    except FileNotFoundError:
        return ()
    found = {_iteration(path.name): path for path in (folder / WORK).glob("iter_*.pth")}
    return tuple(Checkpoint(at, path, path.stat().st_size) for at, path in sorted(found.items()) if 0 < at <= last)


def _iteration(name: str) -> int:
    """Of a checkpoint's path; 0 for what is none."""
    number = Path(name).stem.removeprefix("iter_")
    return int(number) if number.isdecimal() else 0


def _existing(settings: Settings, name: str) -> Path:
    folder = tune_folder(settings, name)
    if not (folder / RECIPE).is_file():
        known = ", ".join(sorted(path.parent.name for path in tunes_root(settings).glob(f"*/{RECIPE}"))) or "none yet"
        raise TuneError(f"There is no tune {name!r} (there are: {known}): `python -m finetune new NAME --base MODEL` makes one.")
    return folder


def _read(settings: Settings, folder: Path) -> Tune:
    try:
        value = read_json(folder / RECIPE)
        recipe, created = recipe_from(value), float(value["created"])
    except (TypeError, ValueError, KeyError) as error:
        raise TuneError(f"{folder / RECIPE} is damaged ({error!r}): remove the folder {folder}, or mend it.") from error
    examples, result = _examples(folder), read_json(folder / RESULT)
    saved = checkpoints(folder)
    merged = _merged(settings, folder.name)
    state, why = _state(result, merged[-1].created if merged else 0.0, running(folder))
    return Tune(
        name=folder.name, folder=folder, recipe=recipe, examples=len(examples), created=created,
        unfinished=sum(example.unfinished for example in examples),
        copies=sum(example.copies for example in examples if not example.unfinished),
        state=state, error=why, iteration=max(result.get("iteration", 0), saved[-1].iteration if saved else 0),
        total=result.get("total", 0), checkpoints=saved, sha256=result.get("sha256", ""),
        models=tuple(card.name for card in merged),
        changed=bool(result) and result.get("asked") != asked_of(folder), log=folder / WORK / "log.txt",
    )  # fmt: skip


def _state(result: dict[str, Any], merged: float, runs: bool) -> tuple[TuneState, str]:
    """`merged`: when a model was last made of it, epoch seconds. Before the last training ended: of an earlier training."""
    if runs:
        return "running", ""
    if not result:
        return "draft", ""
    state = result.get("state")
    if state == "running":
        return "failed", _LOST
    if state == "trained":
        return ("merged" if merged > result.get("ended", 0.0) else "trained"), ""
    return ("paused" if state == "paused" else "failed"), str(result.get("error", ""))


def _merged(settings: Settings, name: str) -> "list[Card]":
    """Oldest first."""
    from kb.models import list_models

    cards = [card for card in list_models(settings) if card.origin == "merge" and card.how.get("tune") == name]
    return sorted(cards, key=lambda card: card.created)


def _examples(folder: Path) -> list[Example]:
    number = 0
    try:
        found = []
        for number, line in enumerate((folder / EXAMPLES).read_text("utf-8").split("\n"), start=1):  # noqa: B007 - told below
            if line:
                found.append(example_from(line))
        return found
    except OSError as error:
        raise TuneError(f"{folder / EXAMPLES} cannot be read ({error.strerror}): make the tune anew.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TuneError(f"{folder / EXAMPLES}:{number} is damaged ({error!r}): delete that line.") from error


def _numbered(settings: Settings, name: str, number: int) -> list[tuple[int, Example]]:
    examples = read_tune_examples(settings, name)
    if not 0 <= number < len(examples):
        raise TuneError("That example is not there any more: look at the list again.")
    return list(enumerate(examples))


def _check(recipe: Recipe | None, examples: Sequence[Example]) -> None:
    for sentence in recipe.faults().values() if recipe else ():
        raise TuneError(sentence)
    for example in examples:
        if why := fault(example.turns):
            raise TuneError(f"An example from {example.source} ({example.place or 'added by hand'}) cannot be learned: {why}.")
        if not 1 <= example.copies <= 1_000_000:
            raise TuneError(f"An example stands {example.copies} times in the data: it must be 1 to 1,000,000.")


def _write_examples(folder: Path, examples: Sequence[Example]) -> None:
    write_whole(folder / EXAMPLES, (example_json(example) + "\n" for example in examples))
