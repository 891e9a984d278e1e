"""Whether a model can be loaded, without loading it: configuration, tokenizer, and the shapes of its weights."""

from pathlib import Path
from typing import Any

from kb import model_files
from kb.errors import ModelError
from kb.model_files import read_json


def folder(path: Path, quantization: str = "") -> list[str]:
    """What keeps the model in `path` from being loaded, a sentence each. The weights of a quantised one are not compared."""
    try:
        found = model_files.tensors(path)
        config = read_json(path / "config.json")
    except ModelError as error:
        return [str(error)]
    sentences = []
    if config.get("auto_map"):
        sentences.append("config.json names code of its own, which is never run.")
    try:
        wanted = _wanted(path)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        return [*sentences, f"It cannot be loaded: {' '.join(str(error).split())[:300]}"]
    if not quantization:
        present = {name: tensor.shape for name, tensor in found.items()}
        missing = [name for name in wanted if name not in present]
        wrong = [name for name in wanted if present.get(name, wanted[name]) != wanted[name]]
        if missing:
            sentences.append(f"{len(missing)} weights are missing, {missing[0]} first.")
        if wrong:
            sentences.append(f"{wrong[0]} is {list(present[wrong[0]])}, but its configuration says {list(wanted[wrong[0]])}.")
    return sentences


def _wanted(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that the configuration asks for; the tokenizer is read on the way."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(path, **given)
    tokenizer = AutoTokenizer.from_pretrained(path, **given)
    if not tokenizer.encode("你好 hello", add_special_tokens=False):
        raise ValueError("its tokenizer finds no tokens in a text")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in tied}


def endpoint(url: str, key: str, seconds: float) -> list[str]:
    """What keeps a server from being asked."""
    import httpx

    try:
        reply = httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=seconds)
        reply.raise_for_status()
    except httpx.HTTPError as error:
        return [f"{url} does not answer as it should: {error or type(error).__name__}"]
    return []
