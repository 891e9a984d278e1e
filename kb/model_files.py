"""What a model's folder says of itself: which of its files belong to it, what is in its weights, how it wants to be talked to.

Nothing here loads weights: a safetensors file begins with a list of its tensors, and that is all that is read.
"""

import json
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb.errors import ModelError

INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HOW_TO_CONVERT = (
    "pickled weights can run code when they are loaded, so they are not taken. In an environment where you trust them: "
    "python -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('FOLDER').save_pretrained('NEW')\", "
    "copy the tokenizer's files there too, and add NEW."
)
NO_TOKENIZER = "has no tokenizer (tokenizer.json or tokenizer.model): copy it from where the model comes from."
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_TEXTS = ("vocab.txt", "merges.txt")
_MOST_HEADER = 100 * 1024**2
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1, "U8": 1,
          "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}  # fmt: skip
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8", "F8_E5M2": "float8", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a safetensors file: `start` and `size` in bytes, from the beginning of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def read_json(path: Path) -> dict[str, Any]:
    """Raises ModelError for what is no JSON object; a file that is not there is an empty one."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): fetch the model again.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not what it should be, a JSON object: fetch the model again.")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """The same value gives the same bytes."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", "utf-8")


def refuse_names(names: list[str], where: str) -> None:
    """Raises ModelError where the files `names` of `where` are no model that can be used here, whatever is in them."""
    weights = [name for name in names if name.endswith(".safetensors")]
    if "adapter_config.json" in names and "config.json" not in names:
        raise ModelError(f"{where} is an adapter, not a model: merge it with the model that it was trained on.")
    if "config.json" not in names:
        raise ModelError(f"{where} has no config.json: name a folder in the Hugging Face layout.")
    if not weights:
        pickled = next((name for name in names if name.endswith(PICKLED)), "")
        raise ModelError(
            f"{where} has {f'only {pickled} and the like' if pickled else 'no .safetensors weights'}: {HOW_TO_CONVERT}"
        )
    if not any(name in _TOKENIZERS or name.endswith(".tiktoken") for name in names):
        raise ModelError(f"{where} {NO_TOKENIZER}")


def belongs(name: str) -> bool:
    """Whether a file of this name is taken in: weights, configuration, tokenizer, licence. Never code, never pickles."""
    stem = name.upper()
    if name.endswith(".bin.index.json") or "/" in name or name.startswith("."):
        return False
    return name.endswith((".safetensors", ".json", ".model", ".tiktoken", ".jinja")) or name in _TEXTS or (
        stem.startswith(("README", "LICENSE", "LICENCE", "NOTICE", "COPYING")) and not name.endswith(".py")
    )  # fmt: skip


def weight_names(names: list[str], index: dict[str, Any]) -> list[str]:
    """Which of the safetensors files hold the model: those that its index names, else model.safetensors, else all.

    Raises:
        ModelError: the index is damaged.
    """
    if index:
        used = index.get("weight_map")
        if not isinstance(used, dict) or not all(isinstance(name, str) and belongs(name) for name in used.values()):
            raise ModelError(f"{INDEX} does not say which file holds what: fetch the model again.")
        return sorted(set(used.values()))
    return [WEIGHTS] if WEIGHTS in names else sorted(name for name in names if name.endswith(".safetensors"))


def taken_files(folder: Path) -> list[Path]:
    """The files of a model's folder that are taken in, by name.

    Raises:
        ModelError: it is no model that can be used here, some of it is missing, or a link in it leads out of it.
    """
    try:
        present = {path.name: path for path in folder.iterdir() if not path.is_dir() or path.is_symlink()}
    except OSError as error:
        raise ModelError(f"{folder} is not a folder that can be read ({error.strerror}).") from error
    refuse_names(sorted(present), str(folder))
    weights = weight_names([*present], read_json(folder / INDEX))
    if missing := [name for name in weights if name not in present]:
        raise ModelError(f"{folder} lacks {missing[0]}, which {INDEX} names: fetch it.")
    taken = [
        path for name, path in sorted(present.items()) if belongs(name) and (name in weights or path.suffix != ".safetensors")
    ]
    for path in taken:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"{path} is a link that leads out of the folder: put the file itself there.")
        if not path.is_file():
            raise ModelError(f"{path} is not a file.")
    return taken


def tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model, by name, in the order in which they lie. Raises ModelError for weights cut short or damaged."""
    names = weight_names([path.name for path in folder.glob("*.safetensors")], read_json(folder / INDEX))
    found: dict[str, Tensor] = {}
    for name in names:
        found.update(_header(folder / name))
    return found


def _header(path: Path) -> dict[str, Tensor]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > min(_MOST_HEADER, size - 8):
                raise ValueError("it is shorter than its header")
            rows = json.loads(file.read(length))
        rows.pop("__metadata__", None)
        found = {}
        for name, row in sorted(rows.items(), key=lambda item: item[1]["data_offsets"]):
            start, end = row["data_offsets"]
            shape = tuple(map(int, row["shape"]))
            if not 0 <= start <= end <= size - 8 - length or end - start != _BYTES[row["dtype"]] * _product(shape):
                raise ValueError(f"the bytes of {name} are not all there")
            found[name] = Tensor(path, row["dtype"], shape, 8 + length + start, end - start)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(f"{path} is damaged or cut short ({error}): fetch it again.") from error
    return found


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def facts(folder: Path) -> dict[str, Any]:
    """What a card says of the model in `folder`: architecture, parameters, bytes, dtype, context, vocabulary, licence …"""
    config, found = read_json(folder / "config.json"), tensors(folder)
    text: dict[str, Any] = config.get("text_config") or config
    quantised = config.get("quantization_config") or {}
    packed = 32 // int(quantised.get("bits") or quantised.get("w_bit") or 4)
    parameters, floats = 0, Counter[str]()
    for name, tensor in found.items():
        if quantised and name.endswith((".qzeros", ".scales", ".g_idx")):
            continue
        parameters += _product(tensor.shape) * (packed if name.endswith(".qweight") else 1)
        if tensor.dtype in _DTYPES:
            floats[_DTYPES[tensor.dtype]] += tensor.size
    return {
        "architecture": next(iter(config.get("architectures") or [""])),
        "template": template(folder, config),
        "parameters": parameters,
        "bytes": sum(tensor.size for tensor in found.values()),
        "dtype": floats.most_common(1)[0][0] if floats else "",
        "context": int(text.get("max_position_embeddings") or 0),
        "vocabulary": int(text.get("vocab_size") or 0),
        "licence": licence(folder),
        "quantization": _quantization(quantised),
    }


def _quantization(value: dict[str, Any]) -> str:
    if not value:
        return ""
    bits, group = value.get("bits") or value.get("w_bit"), value.get("group_size") or value.get("q_group_size")
    return str(value.get("quant_method", "quantised")) + (f" {bits} bit" if bits else "") + (f", group {group}" if group else "")


_FAMILIES = {"internlm": "internlm", "internlm2": "internlm2", "internlm3": "internlm3", "qwen2": "chatml", "qwen3": "qwen3"}


def template(folder: Path, config: dict[str, Any]) -> str:
    """The chat template: that of a known family, else the tokenizer's own ("file"), else chatml."""
    if family := _FAMILIES.get(str(config.get("model_type", ""))):
        return family
    known = token_ids(folder)
    if "<|start_header_id|>" in known and "<|eot_id|>" in known:
        return "llama3"
    if "<|im_start|>" in known and "<|action_start|>" in known:  # InternLM2 in Llama's layout has these together
        return "internlm2"
    if "<eoa>" in known and "<eoh>" in known:
        return "internlm"
    own = read_json(folder / "tokenizer_config.json").get("chat_template") or (folder / "chat_template.jinja").is_file()
    return "file" if own else "chatml"


def token_ids(folder: Path) -> dict[str, int]:
    """The tokens that are never cut, special ones above all, with their ids."""
    found = {}
    for key, row in (read_json(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}).items():
        found[str(row["content"] if isinstance(row, dict) else row)] = int(key)
    for row in read_json(folder / "tokenizer.json").get("added_tokens") or []:
        found[str(row["content"])] = int(row["id"])
    return found


def licence(folder: Path) -> str:
    """As the README's front matter names it, else as the licence's text begins."""
    readme = _text(folder, "README*")
    if readme.startswith("---") and (matter := readme[3:].split("\n---", 1)[0]):
        named = dict(re.findall(r"^(license|license_name):[ \t]*(\S.*?)[ \t]*$", matter, re.MULTILINE))
        if value := named.get("license_name") or named.get("license"):
            return value.strip("'\"")[:80]
    text = _text(folder, "LICEN[SC]E*")
    if "Apache License" in text and "Version 2.0" in text:
        return "apache-2.0"
    if "MIT License" in text or "Permission is hereby granted, free of charge" in text:
        return "mit"
    return next((line.strip()[:80] for line in text.splitlines() if line.strip()), "")


def _text(folder: Path, pattern: str) -> str:
    path = next(iter(sorted(folder.glob(pattern))), None)
    return path.read_bytes()[:20000].decode("utf-8", "replace").replace("\r\n", "\n") if path and path.is_file() else ""
