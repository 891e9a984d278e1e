"""How much memory a model needs, and how much there is: asked before anything is loaded."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb.errors import ModelError
from kb.settings import Settings

if TYPE_CHECKING:
    from kb.models import Card

GIB = 1 << 30
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Over the weights themselves: buffers, and what a step computes with. See docs/benchmarks.md for what was measured.
_OVERHEAD = 1.05
_USED = 8192  # tokens of keys and values that are counted in: one long conversation, or a few of usual length


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes. `device`: "cpu" or "cuda"."""

    device: str
    total: int
    used: int
    free: int


def device_of(settings: Settings) -> str:
    """Where models run: "cuda" where there is a GPU, unless the settings say otherwise. No torch where there is none."""
    if settings.model_device != "auto":
        return settings.model_device
    if "torch" not in sys.modules and not Path("/dev/nvidia0").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_memory(settings: Settings) -> Memory:
    """The memory of the device that models run on; `used` is this process's part on a CPU, everybody's on a GPU."""
    if device_of(settings) == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ModelError("model_device is cuda, but there is no GPU that torch can use: set it to auto or cpu.")
        free, total = torch.cuda.mem_get_info()
        # What torch holds for later is free to a model that is loaded in this process.
        free += torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return Memory("cuda", total, total - free, free)
    import psutil

    there = psutil.virtual_memory()
    return Memory("cpu", there.total, psutil.Process().memory_info().rss, there.available)


def load_dtype(card: "Card", device: str) -> str:
    """Half precision on a GPU always, on a CPU where the weights are kept so: they would be no better for being wider."""
    return "bfloat16" if device == "cuda" or _BYTES.get(card.dtype, 2) == 2 else "float32"


def needs(card: "Card", folder: Path, device: str) -> int:
    """Bytes that a model takes up once it is loaded and answers.

    Raises:
        ModelError: its config.json cannot be read.
    """
    width = _BYTES[load_dtype(card, device)]
    weights = card.parameters * width if card.parameters else card.bytes
    return int(weights * _OVERHEAD) + min(card.context or _USED, _USED) * token_bytes(read_config(folder), width)


def token_bytes(config: dict[str, Any], width: int) -> int:
    """Bytes of the keys and values of one token. Raises ModelError where config.json does not say."""
    try:
        heads = config["num_attention_heads"]
        size = config.get("head_dim") or config["hidden_size"] // heads
        return 2 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * size * width
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ModelError(f"config.json does not say what shape the model has ({error!r}): add the model again.") from error


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model. Raises ModelError where it cannot be read."""
    try:
        return dict(json.loads((folder / "config.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read ({error}): add the model again.") from error


def gib(count: float) -> str:
    """A number of bytes for people."""
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / (1 << 20):.1f} MiB"
