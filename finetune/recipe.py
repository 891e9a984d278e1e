"""How a model is taught: every number of it, the homework's as defaults."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from finetune.lengths import Lengths
from finetune.remark import Remark

Method = Literal["lora", "qlora"]
LEAST_WARMUP = 2  # iterations: with fewer the learning rate stays at 1e-5 of what was asked, and nothing says so


@dataclass(frozen=True, slots=True)
class Recipe:
    """`iterations` 0: as many as `epochs` passes over the data take. `evaluate_every` and `save_every` count iterations.

    `system` is put before each example that has no system message, and before the `prompts`. `config_text`: the XTuner config as
    it was edited; empty: the one that is written from the rest.
    """

    base: str  # the name of a model here
    method: Method = "qlora"
    rank: int = 64
    alpha: int = 16
    dropout: float = 0.1
    lr: float = 2e-4
    epochs: float = 3
    iterations: int = 0
    max_length: int = 512
    packing: bool = True
    batch_size: int = 2
    accumulation: int = 16
    warmup: float = 0.03  # of all iterations
    save_every: int = 500
    keep_checkpoints: int = 2
    evaluate_every: int = 90
    prompts: tuple[str, ...] = ("请介绍一下你自己", "请做一下自我介绍")
    system: str = ""
    seed: int = 0
    config_text: str = ""

    def faults(self) -> dict[str, Remark]:
        """Field → the sentence that says what is wrong with it; empty: the recipe can be used."""
        found = {
            name: Remark(
                f"{what} is {getattr(self, name)}: it must be from {least:g} to {most:g}.",
                "range",
                name=name,
                value=getattr(self, name),
                least=f"{least:g}",
                most=f"{most:g}",
            )
            for name, (what, least, most) in _LIMITS.items()
            if not least <= getattr(self, name) <= most  # nan is in no range
        }
        if not self.base:
            found["base"] = Remark("No base model: choose one of those that are here.", "base")
        if self.method not in get_args(Method):
            found["method"] = Remark(f"The method is {self.method!r}: it must be lora or qlora.", "method")
        if not self.iterations and self.epochs <= 0:
            found["epochs"] = Remark("The number of epochs is 0, and so is the number of iterations: give one of them.", "epochs")
        if len(self.prompts) > 20 or not all(prompt.strip() for prompt in self.prompts):
            found["prompts"] = Remark("The evaluation prompts must be at most 20, none of them empty.", "prompts")
        return found

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"prompts": list(self.prompts)}

    def schedule(self, lengths: Lengths) -> "Schedule":
        """How long it takes on data of these lengths: what XTuner's packing and its sampler come to."""
        sequences = max(1, lengths.packed // self.max_length) if self.packing else lengths.examples
        per_epoch = math.ceil(sequences / self.batch_size)
        total = self.iterations or max(1, math.ceil(self.epochs * per_epoch))
        warmup = min(total, max(LEAST_WARMUP, round(self.warmup * total)))
        return Schedule(sequences, per_epoch, total, warmup, math.ceil(total / self.accumulation))


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a recipe takes: `sequences` of data a pass, `per_epoch` iterations, `total` of them, `steps` of the optimizer."""

    sequences: int
    per_epoch: int
    total: int
    warmup: int
    steps: int


_LIMITS: dict[str, tuple[str, float, float]] = {
    "rank": ("The rank of the adapter", 1, 1024),
    "alpha": ("Alpha", 1, 4096),
    "dropout": ("Dropout", 0, 0.9),
    "lr": ("The learning rate", 1e-8, 1),
    "epochs": ("The number of epochs", 0, 1000),
    "iterations": ("The number of iterations", 0, 10_000_000),
    "max_length": ("The length of a sequence in tokens", 16, 131_072),
    "batch_size": ("The batch size", 1, 1024),
    "accumulation": ("Gradient accumulation", 1, 4096),
    "warmup": ("The share of warm-up", 0, 0.5),
    "save_every": ("Iterations between checkpoints", 1, 1_000_000),
    "keep_checkpoints": ("The number of checkpoints to keep", 1, 100),
    "evaluate_every": ("Iterations between evaluations", 1, 1_000_000),
    "seed": ("The seed", 0, 2**32 - 1),
}


def recipe_from(value: dict[str, Any]) -> Recipe:
    """Raises TypeError or ValueError for what is no recipe; what a later version added has its default."""
    known = {one.name for one in fields(Recipe)}
    given: dict[str, Any] = {name: value[name] for name in value if name in known}
    return Recipe(**given | ({"prompts": tuple(given["prompts"])} if "prompts" in given else {}))
