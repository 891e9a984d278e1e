"""Looks at a training while it runs: passes its output on, tells how far it is, and notices that nothing is learned."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from finetune.device import device
from finetune.progress import LOG, Point, iteration_of, read_points
from finetune.recipe import Recipe
from finetune.tunes import WORK
from kb.errors import TuneError
from kb.jobs import Progress

# Steps of the optimizer without a gradient. In float16 the scale of the loss is halved at each until it fits: 16 halvings.
_PATIENCE, _PATIENCE_FP16 = 3, 20
_LEAST = 20  # iterations: two points


class Watch:
    """Made before the tool is started; look() is called again and again."""

    def __init__(self, folder: Path, recipe: Recipe, began: int, total: int, tell: Callable[[Progress], None]) -> None:
        self.folder = folder
        self.total = total
        self._recipe = recipe
        self._tell = tell
        self._log = folder / WORK / LOG
        self._at = self._log.stat().st_size if self._log.exists() else 0
        self._began, self._told = began, began
        self._first: tuple[float, int] | None = None  # when it was first seen to move, and where it was then

    def look(self) -> None:
        """Raises TuneError where the numbers say that nothing is learned."""
        self._pass_on()
        points = read_points(self.folder / WORK)
        new = [point for point in points if point.iteration > self._told]
        if new:
            self._told = new[-1].iteration
            self._tell(self._progress(new[-1]))
            self._check(points)

    def _pass_on(self) -> None:
        """The tool's output is this process's too; the total that it names is the truth, where a config was edited."""
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        if not data:
            return
        self._at += len(data)
        text = data.decode("utf-8", "replace")
        sys.stdout.write(text)
        sys.stdout.flush()
        if seen := iteration_of(text):
            self.total = seen[1]

    def _progress(self, point: Point) -> Progress:
        now = time.monotonic()
        self._first = self._first or (now, point.iteration)
        seconds, done = now - self._first[0], point.iteration - self._first[1]
        rate = done / seconds if seconds > 0 else 0.0
        left = (self.total - point.iteration) / rate if rate else None
        loss = "no number" if point.loss is None else f"{point.loss:.4f}"
        note = f"{point.iteration}/{self.total}: loss {loss}, lr {point.lr:.2e}"
        return Progress("train", point.iteration, self.total, "iterations", rate, left, note)

    def _check(self, points: list[Point]) -> None:
        """No gradient (nan) means no step: the loss does not move, and the tool goes on to its end without a word."""
        good = max((point.iteration for point in points if not point.nan), default=0)
        without = self._told - max(good, self._began)
        patience = _PATIENCE_FP16 if device().kind == "cuda" and not device().bf16 else _PATIENCE
        if without >= max(_LEAST, patience * self._recipe.accumulation):
            raise TuneError(
                f"The gradients of the last {without} iterations are no numbers (nan), so nothing is learned: lower the learning "
                f"rate, or use a card that computes in bfloat16, or another base model. Its log: {self._log}."
            )
