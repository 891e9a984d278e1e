"""The recipe of a tune: its fields, what is wrong with them, what they come to, and the exact config, which can be edited."""

import math
from dataclasses import replace
from typing import Any

import gradio as gr

from kb import KBError
from ui import tune_plan
from ui.board import board
from ui.fields import HERE, text
from ui.notice import inform, warn
from ui.render import carry, el
from ui.tune_view import Drawn, Look, Part, View, known

MAX_CONFIG, MAX_PROMPTS = 200_000, 20_000  # characters
METHODS = (("LoRA", "lora"), ("QLoRA", "qlora"))
# The rows of fields; what is wrong with one of them stands below its row.
MODEL = ("base", "method", "rank", "alpha")
PACE = ("lr", "epochs", "iterations", "accumulation")
DATA = ("max_length", "batch_size", "packing")
WATCH = ("save_every", "evaluate_every", "prompts", "system")
ROWS = {"faults_model": MODEL, "faults_pace": PACE, "faults_data": DATA, "faults_watch": WATCH}
FIELDS = (*MODEL, *PACE, *DATA, *WATCH)
_WHOLE = ("rank", "alpha", "iterations", "accumulation", "max_length", "batch_size", "save_every", "evaluate_every")


class RecipePart(Part):
    """Draws the part in one language and wires it."""

    def build(self) -> dict[str, Any]:
        words, fixed = self.words, self.core.public
        made: dict[str, Any] = {}
        with gr.Column(elem_id="tune-recipe", elem_classes="recipe"):
            with gr.Row(elem_classes="fold-row four"):
                made["base"] = gr.Dropdown(
                    [],
                    label=words("tune.base"),
                    info=words("tune.base.about"),
                    filterable=False,
                    interactive=not fixed,
                    elem_id="recipe-base",
                )
                made["method"] = gr.Radio(METHODS, label=words("tune.method"), info=words("tune.method.about"),
                                          interactive=not fixed, elem_id="recipe-method")  # fmt: skip
                self._numbers(made, "rank", "alpha")
            made["faults_model"] = board()
            with gr.Row(elem_classes="fold-row four"):
                self._numbers(made, *PACE)
            made["faults_pace"] = board()
            with gr.Row(elem_classes="fold-row four"):
                self._numbers(made, "max_length", "batch_size")
                made["packing"] = gr.Checkbox(label=words("tune.packing"), info=words("tune.packing.about"),
                                              interactive=not fixed, elem_id="recipe-packing")  # fmt: skip
            made["faults_data"] = board()
            with gr.Row(elem_classes="fold-row four"):
                self._numbers(made, "save_every", "evaluate_every")
                made["system"] = self._text("system", hint=words("tune.system.hint"), lines=1, max_lines=6, scale=2)
            made["prompts"] = self._text("prompts", lines=2, max_lines=10)
            made["faults_watch"] = board()
            made["plan"] = board(elem_id="tune-plan")
            with gr.Accordion(words("tune.exact"), open=False, elem_classes="fold", elem_id="tune-exact"):
                made["config_about"] = board()
                made["config"] = gr.Textbox(label=words("tune.exact.config"), lines=14, max_lines=28, max_length=MAX_CONFIG,
                                            interactive=not fixed, elem_id="tune-config", elem_classes="mono")  # fmt: skip
                made["reset"] = gr.Button(words("tune.exact.reset"), visible=False, elem_id="tune-reset")
                made["commands"] = board()
        return made

    def _numbers(self, made: dict[str, Any], *names: str) -> None:
        for name in names:
            about = "tune.every.about" if name.endswith("_every") else f"tune.{name}.about"
            made[name] = gr.Number(
                label=self.words(f"tune.{name}"), info=self.words(about), precision=0 if name in _WHOLE else None,
                interactive=not self.core.public, elem_id=f"recipe-{name.replace('_', '-')}", min_width=120,
            )  # fmt: skip

    def _text(self, name: str, **more: Any) -> gr.Textbox:
        return text(self.words(f"tune.{name}"), f"recipe-{name}", info=self.words(f"tune.{name}.about"), max_length=MAX_PROMPTS,
                    interactive=not self.core.public, **more)  # fmt: skip

    def wire(self, at: dict[str, Any], outputs: list[Any]) -> None:
        self.fields = [at[name] for name in FIELDS]
        for field in self.fields:
            chosen_at_once = isinstance(field, gr.Dropdown | gr.Radio | gr.Checkbox)
            on = [field.input] if chosen_at_once else [field.blur, field.submit]
            gr.on(on, self.look, [at["chosen"], *self.fields], outputs, **HERE)
        at["config"].blur(self.edit, [at["chosen"], at["config"]], outputs, **HERE)
        at["reset"].click(self.reset, [at["chosen"]], outputs, **HERE)

    # Drawing

    def fill(self, look: Look) -> Drawn:
        """The fields, as a tune that is opened has them."""
        recipe = look.tune.recipe
        models = self.core.teachable()
        drawn = {name: getattr(recipe, name) for name in FIELDS if name not in ("base", "prompts")}
        return drawn | {
            "base": gr.Dropdown(choices=models if recipe.base in models else [recipe.base, *models], value=recipe.base),
            "prompts": "\n".join(recipe.prompts),
            **dict.fromkeys(ROWS, ""),
        }

    def draw(self, look: Look) -> Drawn:
        """What the recipe comes to."""
        made, words, edited = look.plan, self.words, bool(look.tune.recipe.config_text)
        if made is None:
            return {"plan": carry(el("p", look.why, class_="notice")), "commands": "", "config": "", "config_about": "",
                    "reset": gr.Button(visible=False)}  # fmt: skip
        about = el("p", words("tune.exact.edited" if edited else "tune.exact.about"), class_="fault" if edited else "minor")
        return {
            "plan": carry(tune_plan.plan(words, made)),
            "commands": carry(tune_plan.commands(words, made.commands)),
            "config": made.config,
            "config_about": carry(about) if not self.core.public else "",
            "reset": gr.Button(visible=edited and not self.core.public),
        }

    # Handlers

    def look(self, chosen: str, *values: Any) -> View:
        """Keep the fields where nothing is wrong with them, and say what they come to; else say what is wrong."""
        kept = self.keep(chosen, values)
        return kept if isinstance(kept, View) else self.redraw(chosen)._replace(**self._faults({}))

    def keep(self, chosen: str, values: Any) -> View | None:
        """None where the recipe is that of the fields now; else a View that tells what is wrong."""
        view = View()

        def keep() -> None:
            nonlocal view
            before = self.core.tune(chosen).recipe
            recipe = replace(before, **_read(values))
            if recipe.base and recipe.base not in (before.base, *self.core.teachable()):
                raise KBError(self.words("tune.nobase"))
            if found := recipe.faults():
                view = View()._replace(**self._faults(found))
            elif recipe != before:
                self.core.save_recipe(chosen, recipe)

        return None if self.do(chosen, keep) and view == View() else view

    def edit(self, chosen: str, config: str) -> View:
        """Keep a config that was edited. It is code: never from a page that others can reach."""
        if not isinstance(config, str) or len(config) > MAX_CONFIG or self._same(chosen, config):
            return View()

        def keep() -> None:
            try:
                compile(config, "config.py", "exec")  # parsed, not run
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                line = getattr(error, "lineno", None) or 1
                raise KBError(self.words("tune.exact.bad", line=line, why=getattr(error, "msg", None) or str(error))) from error
            self.core.save_recipe(chosen, replace(self.core.tune(chosen).recipe, config_text=config))

        if not self.do(chosen, keep):
            return View()
        inform(self.words("tune.exact.kept"))
        return self.redraw(chosen)

    def reset(self, chosen: str) -> View:
        """Back to the config that the recipe gives."""
        done = self.do(chosen, lambda: self.core.save_recipe(chosen, replace(self.core.tune(chosen).recipe, config_text="")))
        return self.redraw(chosen) if done else View()

    def _same(self, chosen: str, config: str) -> bool:
        """Whether the box holds what would run anyhow. A browser may have changed its line ends."""
        try:
            there = self.core.plan(known(self.words, chosen)).config
        except KBError as error:
            warn(str(error))
            return True
        return config.strip().splitlines() == there.strip().splitlines()

    def _faults(self, found: Any) -> Drawn:
        return {row: carry(tune_plan.faults(self.words, found, names)) if found else "" for row, names in ROWS.items()}


def _read(values: Any) -> dict[str, Any]:
    """The fields as the recipe has them; what is no number is nan, which no limit lets through."""
    found = dict(zip(FIELDS, values, strict=True))
    for name in (*_WHOLE, "lr", "epochs"):
        value = found[name]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        found[name] = (int(value) if name in _WHOLE else float(value)) if number else math.nan
    lines = str(found["prompts"] or "")[:MAX_PROMPTS].splitlines()
    return found | {
        "base": str(found["base"] or ""),
        "method": found["method"] if isinstance(found["method"], str) else "",
        "packing": found["packing"] is True,
        "prompts": tuple(line.strip() for line in lines if line.strip()),
        "system": str(found["system"] or "")[:MAX_PROMPTS].strip(),
    }
