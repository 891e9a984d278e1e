"""A model's configuration as both transformers 4.57 (XTuner, LMDeploy) and 5 (here) read it.

Each side writes what the other refuses or overlooks: https://github.com/huggingface/transformers/blob/main/MIGRATION_GUIDE_V5.md
"""

from pathlib import Path
from typing import Any

from kb.model_files import read_json, write_json

# Of transformers 5 only, or of the machine that saved the tokenizer.
_DROPPED = ("auto_map", "backend", "is_local", "local_files_only", "name_or_path")


def settle(folder: Path) -> None:
    """Rewrite config.json and tokenizer_config.json in `folder` so that both read them; the same input gives the same bytes."""
    write_json(folder / "config.json", settled_config(read_json(folder / "config.json")))
    tokenizer = folder / "tokenizer_config.json"
    if tokenizer.exists() or (folder / "tokenizer.json").exists():
        write_json(tokenizer, settled_tokenizer(read_json(tokenizer), (folder / "tokenizer.json").exists()))


def settled_config(config: dict[str, Any]) -> dict[str, Any]:
    """With the names of both: torch_dtype and dtype, rope_theta with rope_scaling and rope_parameters. Names no remote code."""
    config = {name: value for name, value in config.items() if name not in ("auto_map", "_name_or_path")}
    if dtype := config.get("dtype") or config.get("torch_dtype"):
        config["dtype"] = config["torch_dtype"] = dtype
    new = config.get("rope_parameters")
    if isinstance(new, dict) and "rope_theta" in new:  # what is kept by layer type has no older form
        old = {name: value for name, value in new.items() if name != "rope_theta"}
        config["rope_theta"] = new["rope_theta"]
        config["rope_scaling"] = None if old.get("rope_type", "default") == "default" else _named(old)
    elif new is None and "rope_theta" in config:
        old = config.get("rope_scaling") or {"rope_type": "default"}
        config["rope_parameters"] = {"rope_theta": config["rope_theta"]} | _named(old, both=False)
        config["rope_scaling"] = _named(old) if config.get("rope_scaling") else None
    return config


def _named(scaling: dict[str, Any], both: bool = True) -> dict[str, Any]:
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    rest = {name: value for name, value in scaling.items() if name not in ("type", "rope_type")}
    return rest | {"rope_type": kind} | ({"type": kind} if both else {})


def settled_tokenizer(config: dict[str, Any], fast: bool) -> dict[str, Any]:
    """Without what names code or one side's classes. `fast`: there is a tokenizer.json, which says all that is needed."""
    remote = "auto_map" in config
    config = {name: value for name, value in config.items() if name not in _DROPPED}
    if fast and (remote or config.get("tokenizer_class") in (None, "TokenizersBackend")):
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(config.get("extra_special_tokens"), list):  # a dictionary for transformers 4
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    return config
