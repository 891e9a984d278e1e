"""A model's folder → a chat model in memory; and back: its memory is given back to the machine."""

import ctypes
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb.errors import ModelError
from kb.llm.memory import device_memory, device_of, load_dtype, read_config, token_bytes
from kb.settings import Settings

if TYPE_CHECKING:
    from kb.llm.internlm import InternLM
    from kb.models import Card

_FEWEST = 4096  # tokens of keys and values that there is always said to be room for


def load_model(card: "Card", folder: Path, settings: Settings) -> "InternLM":
    """Load the model in `folder`. Whether it fits is asked before, by kb.serving.

    Raises:
        ModelError: it cannot be loaded, or there is not enough memory after all.
    """
    if card.quantization:
        raise ModelError(
            f"{card.name} is quantised ({card.quantization}): LMDeploy serves such a model; it does not run in this process."
        )
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        return _loaded(card, folder, settings)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, AttributeError, TypeError, MemoryError) as error:
        text = " ".join(str(error).split())
        if "out of memory" in text or "not enough memory" in text or isinstance(error, MemoryError):
            raise ModelError(f"{card.name} did not fit into memory while it was loaded: something else took it.") from error
        raise ModelError(f"{card.name} cannot be loaded ({type(error).__name__}: {text[:200]}).") from error


def _loaded(card: "Card", folder: Path, settings: Settings) -> "InternLM":
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    from kb.llm.batching import Engine
    from kb.llm.internlm import InternLM
    from kb.llm.template import Template

    device = device_of(settings)
    # cuDNN's attention makes a plan for each new number of keys, in each thread: 30 ms and more for each token of an answer.
    torch.backends.cuda.enable_cudnn_sdp(False)
    dtype = load_dtype(card, device)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=False, use_safetensors=True, local_files_only=True, dtype=getattr(torch, dtype),
        attn_implementation="sdpa", output_loading_info=True,
    )  # fmt: skip
    model, told = loaded
    if missing := sorted(told["missing_keys"]):
        raise ModelError(f"{card.name} lacks weights ({missing[0]} and {len(missing) - 1} more): add the model again.")
    model = model.to(device).eval()
    template = Template(card.template or "file", tokenizer, _ends(model.config, model.generation_config or GenerationConfig()))
    each = token_bytes(read_config(folder), 4 if dtype == "float32" else 2)
    # Half of what is free now, so that a swap still has a chance beside many long answers.
    room = max(_FEWEST, device_memory(settings).free // 2 // each)
    return InternLM.around(Engine(model, room), template, card.name, card.context or model.config.max_position_embeddings)


def _ends(*configs: Any) -> list[int]:
    found: list[int] = []
    for config in configs:
        ids = getattr(config, "eos_token_id", None)
        found += ids if isinstance(ids, list) else [ids] if ids is not None else []
    return found


def give_back() -> None:
    """Return what nothing holds any more to the machine."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch._C._cuda_clearCublasWorkspaces()  # one a thread that has computed: without this each swap leaves some 30 MiB
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # only glibc has it
        pass
