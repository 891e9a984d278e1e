"""What the page asks about fine-tuning: tunes, their examples and recipes, training as a job, and the tool's environment."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kb
from kb import Job, ModelError, TuneError, jobs, tools
from ui.model_core import refuse_taken

if TYPE_CHECKING:
    from finetune import Example, ExampleSet, Pair, Plan, Point, Recipe, Sample, Tune

KINDS = ("train", "merge", "compare")
USES_TOOL = ("train", "merge")


class TuneCore:
    """The part of Core that is about fine-tuning; `settings` is the Core's. Every name of a tune may be a user's text."""

    settings: kb.Settings

    # Looking

    def tunes(self) -> "list[Tune]":
        """Newest first."""
        from finetune import list_tunes

        return list_tunes(self.settings)

    def tune(self, name: str) -> "Tune":
        """Raises TuneError for one that is not there."""
        from finetune import get_tune

        return get_tune(self.settings, name)

    def teachable(self) -> list[str]:
        """Models whose weights are here and not quantised."""
        return [card.name for card in kb.list_models(self.settings) if not card.endpoint and not card.quantization]

    def card(self, name: str) -> kb.Card | None:
        try:
            return kb.get_model(self.settings, name)
        except ModelError:
            return None

    def tune_examples(self, name: str) -> "list[Example]":
        from finetune import read_tune_examples

        return read_tune_examples(self.settings, name)

    def plan(self, name: str, recipe: "Recipe | None" = None) -> "Plan":
        """Raises TuneError or ModelError where it cannot start."""
        from finetune import plan

        return plan(self.settings, name, recipe)

    def curves(self, name: str) -> "list[Point]":
        from finetune import curves

        return curves(self.settings, name)

    def samples(self, name: str) -> "list[Sample]":
        from finetune import samples

        return samples(self.settings, name)

    def pairs(self, name: str) -> "list[Pair]":
        from finetune import pairs

        return pairs(self.settings, name)

    # Changing

    def new_tune(self, name: str, recipe: "Recipe", examples: "Sequence[Example]" = ()) -> "Tune":
        from finetune import new_tune

        return new_tune(self.settings, name, recipe, examples)

    def remove_tune(self, name: str) -> None:
        from finetune import remove_tune

        remove_tune(self.settings, name)

    def save_recipe(self, name: str, recipe: "Recipe") -> None:
        from finetune import save_recipe

        save_recipe(self.settings, name, recipe)

    def introduce(self, name: str, who: str, language: Any, copies: int) -> int:
        """Add the self-introduction; returns how many examples are new, as the next ones do."""
        from finetune import introduction

        return self._add(name, introduction(who, language, copies))

    def add_from_base(self, name: str, base: str, count: int, passages: bool) -> int:
        from finetune import from_base

        return self._add(name, from_base(self.settings, base, count, passages))

    def add_from_feedback(self, name: str, base: str, owner: str) -> int:
        from finetune import from_feedback

        return self._add(name, from_feedback(self.settings, base, owner))

    def add_file(self, name: str, file: Path) -> "tuple[int, ExampleSet]":
        """Also what was read. Raises SourceError where no row of the file is an example."""
        from finetune import read_examples

        found = read_examples(file)
        return self._add(name, found.examples), found

    def change_example(self, name: str, number: int, question: str, answer: str, system: str, copies: int) -> None:
        """Its last question and answer, the system message it begins with, and its copies; what lies between stays."""
        from finetune import Message, change_example

        one = self.tune_examples(name)[number]
        earlier = one.turns[one.turns[0].role == "system" : -2]
        before = [Message("system", system)] if system.strip() else []
        turns = (*before, *earlier, Message("user", question), Message("assistant", answer))
        change_example(self.settings, name, number, replace(one, turns=turns, copies=copies))

    def delete_example(self, name: str, number: int) -> None:
        from finetune import delete_example

        delete_example(self.settings, name, number)

    def _add(self, name: str, examples: "Sequence[Example]") -> int:
        from finetune import add_examples

        return add_examples(self.settings, name, examples)

    # Jobs

    def all_tune_jobs(self) -> list[Job]:
        """Trainings, merges and comparisons of all tunes, newest first."""
        return [job for job in jobs.list_jobs(self.settings) if job.kind in KINDS]

    def tune_jobs(self, name: str) -> list[Job]:
        """Those of a tune, newest first."""
        return [job for job in self.all_tune_jobs() if job.subject == name]

    def train(self, name: str, *, afresh: bool = False) -> Job:
        from finetune import train_job

        return train_job(self.settings, name, afresh=afresh)

    def merge(self, name: str, model: str) -> Job:
        """Raises ModelError for a name that is taken or cannot be a folder's, before anything is started."""
        from finetune import merge_job

        refuse_taken(self.settings, model or name)
        return merge_job(self.settings, name, model)

    def compare_tune(self, name: str) -> Job:
        from finetune import compare_job

        return compare_job(self.settings, name)

    # The tool's environment

    def tool(self) -> tools.Tool:
        return tools.tool(self.settings, "xtuner")

    def tool_jobs(self) -> list[Job]:
        return jobs.list_jobs(self.settings, tools.KIND)

    def install_tool(self) -> Job:
        """Make XTuner's environment anew. Raises TuneError while a training uses it."""
        for job in self.all_tune_jobs():
            if job.alive and job.kind in USES_TOOL:
                raise TuneError(f"XTuner is in use ({job.title}): install it when that has ended.")
        return self._install_tool()

    def _install_tool(self) -> Job:
        return tools.install_job(self.settings, "xtuner")
