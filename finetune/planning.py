"""All that can be said of a tune before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune.config import write_config
from finetune.dataset import Example
from finetune.device import device
from finetune.lengths import Lengths, measure
from finetune.memory import Estimate, estimate
from finetune.recipe import Recipe, Schedule
from finetune.remark import Remark
from finetune.templates import Template, derived, template
from finetune.tunes import DATA, get_tune, read_tune_examples
from kb.errors import TuneError
from kb.models import Card, get_model, model_folder
from kb.settings import Settings

_FEW_STEPS = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """`config`: as it will run; `written`: as the recipe alone gives it, where the other was edited. `commands`: for eyes.

    `warnings`: sentences that do not forbid the start.
    """

    lengths: Lengths
    schedule: Schedule
    memory: Estimate
    config: str
    written: str
    commands: tuple[str, ...]
    warnings: tuple[Remark, ...]


def plan(settings: Settings, name: str, recipe: Recipe | None = None) -> Plan:
    """Of the tune `name`, with its recipe or another one.

    Raises:
        TuneError: it cannot start: no finished example, a fault of the recipe, a base that cannot be taught.
        ModelError: the base is not there, or its tokenizer cannot be loaded.
    """
    tune = get_tune(settings, name)
    return plan_of(settings, tune.folder, recipe or tune.recipe, read_tune_examples(settings, name))


def plan_of(settings: Settings, folder: Path, recipe: Recipe, examples: Sequence[Example]) -> Plan:
    """plan() of a recipe and examples that may not be kept yet. Raises the same."""
    from finetune.commands import command_lines

    for sentence in recipe.faults().values():
        raise TuneError(sentence)
    card = teachable(settings, recipe.base)
    if all(example.unfinished for example in examples):
        raise TuneError(f"The tune {folder.name!r} has no example with an answer: add one at least.")
    base = model_folder(settings, recipe.base)
    chat = template_of(settings, recipe.base)
    lengths = measure(base, chat, examples, recipe.max_length, recipe.system)
    schedule = recipe.schedule(lengths)
    memory = estimate(settings, recipe)
    written = write_config(recipe, schedule, chat, base, folder / DATA, device())
    unfinished = sum(example.unfinished for example in examples)
    return Plan(
        lengths, schedule, memory, recipe.config_text or written, written, command_lines(settings, folder, recipe.base),
        tuple(_warnings(recipe, card, lengths, schedule, memory, unfinished)),
    )  # fmt: skip


def teachable(settings: Settings, base: str) -> Card:
    """The card of a model that can be taught. Raises TuneError or ModelError."""
    card = get_model(settings, base)
    if card.endpoint is not None:
        raise TuneError(f"The model {base!r} is on a server: only a model whose weights are here can be taught.")
    if card.quantization:
        raise TuneError(f"The model {base!r} is quantised ({card.quantization}): teach the one it was made from.")
    return card


def template_of(settings: Settings, base: str) -> Template:
    """Raises TuneError where no template for the model is known."""
    card = get_model(settings, base)
    return template(card.template) or derived(model_folder(settings, base))


def _warnings(
    recipe: Recipe, card: Card, lengths: Lengths, schedule: Schedule, memory: Estimate, unfinished: int
) -> list[Remark]:  # fmt: skip
    found: list[Remark] = []
    if unfinished:
        found.append(Remark(f"{unfinished} rows have no answer yet and are left out.", "unfinished", count=unfinished))
    if lengths.cut:
        sentence = (
            f"{lengths.cut} of {lengths.examples} examples are longer than {recipe.max_length} tokens and lose their end "
            f"(the longest has {lengths.longest})."
        )
        found.append(Remark(sentence, "cut", cut=lengths.cut, count=lengths.examples, most=recipe.max_length,
                            longest=lengths.longest))  # fmt: skip
    if card.context and recipe.max_length > card.context:
        sentence = f"The length is {recipe.max_length} tokens, but {card.name!r} was made for {card.context}."
        found.append(Remark(sentence, "context", length=recipe.max_length, model=card.name, context=card.context))
    if schedule.steps < _FEW_STEPS:
        sentence = (
            f"The optimizer takes only {schedule.steps} steps ({schedule.total} iterations, {recipe.accumulation} a step): "
            "lower the accumulation, or train for longer."
        )
        found.append(Remark(sentence, "steps", steps=schedule.steps, total=schedule.total, a_step=recipe.accumulation))
    if memory.fits is False:
        needs, free = memory.total / 1e9, memory.available / 1e9
        sentence = f"It needs about {needs:.1f} GB, and {free:.1f} GB of {memory.device} are free. {memory.advice}"
        found.append(Remark(sentence, "memory"))
    return found
