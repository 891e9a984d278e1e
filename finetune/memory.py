"""How much memory a recipe takes on a model of a shape, part by part, before anything is loaded.

What peft and XTuner do is counted as they do it: QLoRA holds the layers' matrices in NF4 with doubly quantised constants, and the
embedding, the head and the norms in float32 (peft's prepare_model_for_kbit_training); LoRA holds all of it in 16 bit on a card
(launcher.py sees to that) and in 32 bit on a processor; an adapter, its gradients and Adam's two moments are float32 on both.
With gradient checkpointing a pass keeps the input of every layer, and at its height either the logits or one layer's insides.
"""

from dataclasses import dataclass

from finetune.device import Device, device, free_bytes
from finetune.recipe import Recipe
from finetune.remark import Remark
from finetune.shape import Shape, shape_of
from kb.models import get_model, model_folder
from kb.settings import Settings

_BLOCK, _BLOCKS = 64, 256  # parameters a quantisation constant, constants a constant of their own
_CONTEXT = 850 * 1024**2  # CUDA's context, its kernels and their workspaces: 0.83 GiB on an H200, 1.2 on an H100
_PROCESS = 768 * 1024**2  # Python with torch, transformers and XTuner
_WHAT = {
    "weights": "weights of the base model",
    "constants": "quantisation constants",
    "adapter": "adapter (LoRA)",
    "gradients": "gradients of the adapter",
    "optimizer": "moments of Adam",
    "checkpoints": "inputs of the layers, kept for the way back",
    "height": "the most that is alive besides: logits, or one layer",
    "context": "CUDA context, or the process",
}

_NO_ADVICE = Remark("", "")


@dataclass(frozen=True, slots=True)
class Part:
    """A term of the sum: a code (the page has its words), what it is, and its bytes."""

    code: str
    what: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """`device`: the card's name or "RAM"; `available` of its bytes are free. `fits` None: the model's shape is not known.

    `advice`: what to change where it does not fit; the values of its `change` are fields of the recipe.
    """

    parts: tuple[Part, ...]
    total: int
    device: str
    available: int
    fits: bool | None
    advice: Remark


def estimate(settings: Settings, recipe: Recipe, on: Device | None = None) -> Estimate:
    """Raises ModelError where the base is not there."""
    get_model(settings, recipe.base)
    on = on or device()
    shape = shape_of(model_folder(settings, recipe.base))
    available = free_bytes(on)
    if shape is None:
        return Estimate((), 0, on.name, available, None, _NO_ADVICE)
    parts = parts_of(shape, recipe, on)
    total = sum(part.bytes for part in parts)
    return Estimate(parts, total, on.name, available, total <= available, _NO_ADVICE if total <= available else _advice(recipe))


def parts_of(shape: Shape, recipe: Recipe, on: Device) -> tuple[Part, ...]:
    """The terms, largest first where they are of one kind of thing; see the top of this file."""
    small = 2 if on.kind == "cuda" else 4  # bytes of a number that is computed with
    adapter = shape.adapter(recipe.rank)
    if recipe.method == "qlora":
        weights = shape.linear // 2 + shape.outer * 4
        constants = shape.linear // _BLOCK + shape.linear * 4 // (_BLOCK * _BLOCKS)
    else:
        weights, constants = (shape.linear + shape.outer) * small, 0
    tokens = recipe.batch_size * recipe.max_length
    found = {
        "weights": weights,
        "constants": constants,
        "adapter": adapter * 4,
        "gradients": adapter * 4,
        "optimizer": adapter * 8,
        "checkpoints": shape.layers * tokens * shape.hidden * (4 if recipe.method == "qlora" else small),
        "height": max(_logits(shape, recipe, tokens, small), _layer(shape, tokens, small), adapter * 4),
        "context": _CONTEXT if on.kind == "cuda" else _PROCESS,
    }
    return tuple(Part(code, _WHAT[code], size) for code, size in found.items() if size)


def _logits(shape: Shape, recipe: Recipe, tokens: int, small: int) -> int:
    """At the loss: logits, their log-probabilities, the gradients of both in float32; and the head as autocast copied it."""
    head = shape.vocabulary * shape.hidden * small if recipe.method == "qlora" and small == 2 else 0
    return tokens * shape.vocabulary * (small + 4 + 4 + 4) + head


def _layer(shape: Shape, tokens: int, small: int) -> int:
    """One layer's insides while it is computed again: what attention and the gates keep, and for each matrix what LoRA keeps
    of its input (in float32, after dropout with its mask, and as it is computed with); and the widest matrix, dequantised."""
    attention = 4 * shape.hidden + 2 * shape.queries + 2 * shape.keys
    inputs = sum(a for a, _ in shape.matrices)
    kept = small * (attention + 4 * shape.intermediate) + 8 * shape.hidden + (4 + 4 + 1 + (small if small == 2 else 0)) * inputs
    return tokens * kept + small * max(a * b for a, b in shape.matrices)


def _advice(recipe: Recipe) -> Remark:
    lower = {
        "batch_size": "the batch size" if recipe.batch_size > 1 else "",
        "max_length": "the length" if recipe.max_length > 512 else "",
        "rank": "the rank" if recipe.rank > 16 else "",
    }
    fields = tuple(field for field, what in lower.items() if what)
    said = " or ".join(filter(None, lower.values()))
    if recipe.method == "lora":
        sentence = "Use qlora" + (f", or lower {said}." if said else ", or a smaller base model.")
        return Remark(sentence, "change", change=("method", *(fields or ("base",))))
    sentence = f"Lower {said}, or use a smaller base model." if said else "Use a smaller base model."
    return Remark(sentence, "change", change=(*fields, "base"))
