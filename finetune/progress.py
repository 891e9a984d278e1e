"""What XTuner writes while it trains, read: the curves, what the model says on the way, how an attempt failed.

work/<time of the start>/vis_data/scalars.json           a JSON object a line, every 10 iterations; a resume opens a new folder
work/<time of the start>/vis_data/eval_outputs_iter_N.txt  what the model said, N counted from 0
work/log.txt                                             its output; the total of iterations stands only there
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune.recipe import Recipe
from finetune.templates import Template
from finetune.tunes import WORK, get_tune
from kb.settings import Settings

LOG = "log.txt"
_OUTPUT = re.compile(r"^Eval output \d+:\n", re.MULTILINE)
_TOKEN = re.compile(r"<[^<>\s]{1,40}>|[^<>\s]+|[<>]")
_ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>")
_ITERATION = re.compile(r"Iter\(train\) \[\s*(\d+)/(\d+)\]")
_RAISED = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Interrupt|Unavailable|NotFound)): ?(.*)$", re.MULTILINE)
_MEMORY = re.compile(r"OutOfMemoryError|out of memory|DefaultCPUAllocator: can't allocate|Cannot allocate memory", re.IGNORECASE)
_KILLED = (137, -9)  # by the kernel, where there was no memory left; or by somebody
_TAIL = 64 * 1024  # bytes of a log that are searched


@dataclass(frozen=True, slots=True)
class Point:
    """The mean of the last ten iterations. None: no number, or (`grad_norm`) no step yet; `nan`: something was no number."""

    iteration: int
    loss: float | None
    lr: float
    grad_norm: float | None
    nan: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model said to an evaluation prompt after so many iterations."""

    iteration: int
    prompt: str
    answer: str


def curves(settings: Settings, name: str) -> list[Point]:
    """Of all attempts that led to where the tune stands. Raises TuneError where there is no such tune."""
    return read_points(get_tune(settings, name).folder / WORK)


def samples(settings: Settings, name: str) -> list[Sample]:
    """By iteration, 0 for before the first; at each the prompts in their order."""
    from finetune.planning import template_of

    tune = get_tune(settings, name)
    return read_samples(tune.folder / WORK, tune.recipe, template_of(settings, tune.recipe.base), tune.total)


def read_points(work: Path) -> list[Point]:
    """The curve that the tool has written into `work`, over all attempts, by iteration."""
    points: list[Point] = []
    for folder in _attempts(work):
        own = list(_points(folder / "scalars.json"))
        if own:  # what an earlier attempt did beyond the checkpoint that this one began at was lost
            points = [point for point in points if point.iteration < own[0].iteration] + own
    return points


def read_samples(work: Path, recipe: Recipe, template: Template, total: int) -> list[Sample]:
    """The sample answers that the tool has written into `work`, over all attempts."""
    found: dict[tuple[int, int], Sample] = {}
    for folder in _attempts(work):
        for path in folder.glob("eval_outputs_iter_*.txt"):
            number = path.stem.rpartition("_")[2]
            if not number.isdecimal():
                continue
            iteration = _iteration(int(number), recipe, total)
            outputs = _OUTPUT.split(path.read_text("utf-8", "replace"))[1:]
            for at, (prompt, text) in enumerate(zip(recipe.prompts, outputs, strict=False)):
                found[iteration, at] = Sample(iteration, prompt, answer_of(text, prompt, template))
    return [found[key] for key in sorted(found)]


def answer_of(text: str, prompt: str, template: Template) -> str:
    """The answer in the decoded text of a whole conversation. Some tokenizers put spaces around their special tokens."""
    asked = template.instruction.replace("{input}", prompt)
    if asked in text:
        rest = text.partition(asked)[2]
    else:
        rest = text.partition(prompt)[2]
        for piece in _TOKEN.findall(template.instruction.partition("{input}")[2]):
            rest = rest.lstrip().removeprefix(piece)
    for end in (*template.stop_words, template.suffix, *_ENDS):
        rest = rest.partition(end)[0] if end else rest
    return rest.strip()


def iteration_of(log: str) -> tuple[int, int] | None:
    """(iteration, total) of the last progress line in a piece of a log."""
    found = list(_ITERATION.finditer(log))[-1:]
    return (int(found[0][1]), int(found[0][2])) if found else None


def last_lines(log: Path) -> str:
    """The end of a log; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def why_failed(code: int, log: Path, recipe: Recipe, what: str = "The training") -> str:
    """One sentence for a tool that ended with `code`: its last error, or what to lower where memory was the reason."""
    text = last_lines(log)
    if _MEMORY.search(text) or code in _KILLED:
        how = "ran out of memory" if code not in _KILLED else "was killed, most likely because memory ran out"
        smaller = "use qlora, " if recipe.method == "lora" else ""
        return f"{what} {how}: {smaller}lower the batch size or the length, or choose a smaller model. Its log: {log}."
    for raised in list(_RAISED.finditer(text))[-1:]:
        return f"{what} failed: {raised[1]}: {' '.join(raised[2].split())[:300]}. Its log: {log}."
    return f"{what} failed with exit code {code}. Its log: {log}."


def _attempts(work: Path) -> list[Path]:
    """The vis_data of each attempt, oldest first: their folders are named by the time."""
    return sorted(path for path in work.glob("[0-9]*_[0-9]*/vis_data") if path.is_dir())


def _points(path: Path) -> Iterator[Point]:
    try:
        text = path.read_bytes().rpartition(b"\n")[0].decode("utf-8", "replace")
    except FileNotFoundError:
        return
    for line in text.split("\n"):
        try:
            row = json.loads(line)
            loss, norm = _number(row["loss"]), _number(row.get("grad_norm"))
            nan = loss is None or (norm is None and "grad_norm" in row)
            yield Point(int(row["iter"]), loss, float(row["lr"]), norm, nan)
        except (ValueError, KeyError, TypeError):
            continue  # a line of something else: validation, a torn one


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _iteration(number: int, recipe: Recipe, total: int) -> int:
    """How many iterations were done. The files of the hook that runs after one count from 0, those before a start from 1."""
    done = number + 1
    after = done % recipe.evaluate_every == 0 or done % recipe.save_every == 0 or done == total
    return done if after else number
