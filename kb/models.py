"""The models there are: a folder each, in the Hugging Face layout, safetensors only.

    data_base/models/<name>/        weights, config.json, tokenizer files, and card.json, written last
    data_base/models/<name>.part/   one under construction; what is left of a broken one is removed by the next of that name

A model that answers behind a server's address has a folder too: a card, and its key in a file that only the owner reads.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kb import convert, model_config, model_files
from kb.disk import disk_errors, enough_room
from kb.errors import ModelError
from kb.jobs import Progress
from kb.model_card import CARD, Card, Endpoint, read_card, write_card
from kb.names import bad_name
from kb.progress import Meter
from kb.settings import Settings

KEY = "key"
PART = ".part"
_NAME_BYTES = 64
_OURS = ("embedding",)  # where the embedding model's OpenVINO form is
_PIECE = 16 * 1024**2
_log = logging.getLogger(__name__)
Tell = Callable[[Progress], None]


def models_root(settings: Settings) -> Path:
    """Where all models lie."""
    return settings.data_base / "models"


def model_folder(settings: Settings, name: str) -> Path:
    """Folder of the model `name`, which need not exist.

    Raises:
        ModelError: the name cannot be a folder's.
    """
    if sentence := bad_name(name, "a model", _NAME_BYTES):
        raise ModelError(sentence)
    if name.endswith(PART) or name in (*_OURS, "quotes", "endpoint"):
        raise ModelError(f"{name!r} cannot name a model: it has a meaning of its own here.")
    return models_root(settings) / name


def part_folder(settings: Settings, name: str) -> Path:
    """Where the model `name` is put together before it is registered."""
    return model_folder(settings, name).with_name(name + PART)


def list_models(settings: Settings) -> list[Card]:
    """By name. A folder whose card is damaged is not among them; the log says so."""
    cards = []
    for path in sorted(models_root(settings).glob(f"*/{CARD}")):
        if path.parent.name.endswith(PART):
            continue
        try:
            cards.append(read_card(path.parent))
        except ModelError as error:
            _log.warning("%s", error)
    return cards


def get_model(settings: Settings, name: str) -> Card:
    """Raises ModelError, naming those there are, when there is none of that name or its card is damaged."""
    folder = model_folder(settings, name)
    if not (folder / CARD).is_file():
        known = ", ".join(card.name for card in list_models(settings)) or "none yet"
        raise ModelError(f"There is no model {name!r} (there are: {known}): `python -m kb models add FOLDER` adds one.")
    return read_card(folder)


def endpoint_key(settings: Settings, name: str) -> str:
    """The key of an endpoint, empty if it wants none."""
    try:
        return (model_folder(settings, name) / KEY).read_text("utf-8").strip()
    except FileNotFoundError:
        return ""


def add_model(settings: Settings, folder: Path, name: str = "", tell: Tell | None = None) -> Card:
    """Copy a model's folder in (InternLM and InternLM2: convert it), hash it, and write its card.

    Raises:
        ModelError: it is no model that can be used here, there is one of that name, or the disk is too small.
    """
    source = folder.expanduser().resolve()
    name = name or source.name
    with building(settings, name) as part:
        return take_in(settings, source, part, name, f"folder {source}", tell)


def take_in(settings: Settings, source: Path, part: Path, name: str, origin: str, tell: Tell | None, move: bool = False) -> Card:
    """Copy (or `move`) or convert what belongs to the model in `source` into the empty folder `part`, and register it."""
    files = model_files.taken_files(source)
    family = convert.family(model_files.read_json(source / "config.json"))
    size = sum(path.stat().st_size for path in files)
    if family or not move:
        enough_room(part.parent, size)
    with disk_errors(part):
        part.mkdir(parents=True)
        meter = Meter("copy", size, tell)
        for path in () if family else files:
            if move:
                path.rename(part / path.name)
            else:
                _copy(path, part / path.name, meter)
        if family:
            convert.convert(source, part, tell)
            for path in files:
                if path.name.upper().startswith(("README", "LICEN", "NOTICE", "COPYING")):
                    shutil.copyfile(path, part / path.name)
    how = {"step": "convert", "from": family} if family else {}
    return register(settings, part, name, origin=origin, how=how, tell=tell)


def add_endpoint(settings: Settings, name: str, url: str, model: str = "", key: str = "") -> Card:
    """A model that a server has. Raises ModelError for an address that is none, or a name that is taken."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ModelError(f"{url!r} is not a server's address: give one like http://127.0.0.1:23333/v1, the key apart from it.")
    with building(settings, name) as part, disk_errors(part):
        part.mkdir(parents=True)
        if key:
            with os.fdopen(os.open(part / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(key)
        card = Card(name, "endpoint", created=time.time(), endpoint=Endpoint(url.rstrip("/"), model))
        return _publish(settings, part, card)


def register(
    settings: Settings,
    part: Path,
    name: str,
    *,
    origin: str,
    made_from: tuple[str, ...] = (),
    how: dict[str, Any] | None = None,
    system: str | None = None,
    tell: Tell | None = None,
) -> Card:
    """Make the finished folder `part` (models/<name>.part) the model `name`: hash, card, rename.

    What does not belong to a model (code, pickles, logs) is removed from it. `made_from`: the first of these lends its chat
    template where it is of the same architecture, and its system prompt where `system` gives none.

    Raises:
        ModelError: it is no model that can be used here, or there is one of that name.
    """
    _refuse_taken(settings, name)
    if part != part_folder(settings, name):
        raise ModelError(f"{part} is not where the model {name!r} is put together, {part_folder(settings, name)}.")
    kept = {path.name for path in model_files.taken_files(part)}
    with disk_errors(part):
        for path in part.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in kept or path.name == CARD:
                path.unlink()
        model_config.settle(part)
        facts = model_files.facts(part)
        if made_from and (base := get_model(settings, made_from[0])).architecture == facts["architecture"]:
            facts |= {"template": base.template, "licence": facts["licence"] or base.licence}
            system = base.system if system is None else system
        files = hashes(part, tell)
        card = Card(name, origin, tuple(made_from), dict(how or {}), system=system, files=files, created=time.time(), **facts)
        return _publish(settings, part, card)


def hashes(folder: Path, tell: Tell | None = None) -> dict[str, str]:
    """sha256 of the files of a model, by name."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in (CARD, KEY))
    meter = Meter("check", sum(path.stat().st_size for path in paths), tell)
    return {path.name: _sha256(path, meter) for path in paths}


def remove_model(settings: Settings, name: str) -> int:
    """Remove a model; returns the bytes that were freed. Raises ModelError when it answers now, or is not there."""
    folder = model_folder(settings, name)
    if not folder.is_dir():
        get_model(settings, name)  # says which there are
    from kb.serving import live_name

    if live_name(settings) == name:
        raise ModelError(f"The model {name!r} answers now: use another one first (`python -m kb models use NAME`).")
    with _locked(settings, name), disk_errors(folder):
        freed = sum(path.lstat().st_size for path in folder.iterdir())
        part = part_folder(settings, name)
        shutil.rmtree(part, ignore_errors=True)
        folder.rename(part)  # so that half a model is never listed
        shutil.rmtree(part)
    return freed


def check_model(settings: Settings, name: str, tell: Tell | None = None) -> list[str]:
    """What is missing, changed or cannot be loaded, a sentence each; empty if it is sound."""
    from kb import model_check  # transformers, in the end

    card, folder = get_model(settings, name), model_folder(settings, name)
    if card.endpoint:
        return model_check.endpoint(card.endpoint.url, endpoint_key(settings, name), settings.connect_seconds)
    now = hashes(folder, tell)
    found = [f"{file} is missing." for file in card.files if file not in now]
    changed = [file for file, digest in card.files.items() if now.get(file, digest) != digest]
    found += [f"{file} is not what it was when the model was added." for file in changed]
    found += [f"{file} was put there since." for file in now if file not in card.files]
    return found or model_check.folder(folder, card.quantization)


@contextmanager
def building(settings: Settings, name: str) -> Iterator[Path]:
    """Where to put the new model `name` together; nothing is left there if that fails.

    Raises:
        ModelError: there is one of that name, or it is being added by another process.
    """
    part = part_folder(settings, name)
    with _locked(settings, name):
        _refuse_taken(settings, name)
        shutil.rmtree(part, ignore_errors=True)  # of an add that was killed
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _locked(settings: Settings, name: str) -> Iterator[None]:
    """One at a time adds, fetches or removes the model `name`. The kernel lets the lock go with the process."""
    folder = models_root(settings) / ".locks"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / name).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ModelError(f"The model {name!r} is being added or removed by another process: wait for that to end.") from error
        yield


def _refuse_taken(settings: Settings, name: str) -> None:
    if model_folder(settings, name).exists():
        raise ModelError(f"There is a model {name!r} already: choose another name (--name), or remove that one.")


def _copy(source: Path, target: Path, meter: Meter) -> None:
    with source.open("rb") as file, target.open("wb") as out:
        while data := file.read(_PIECE):
            out.write(data)
            meter.add(len(data))


def _sha256(path: Path, meter: Meter) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_PIECE):
            digest.update(data)
            meter.add(len(data))
    return digest.hexdigest()


def _publish(settings: Settings, part: Path, card: Card) -> Card:
    write_card(part, card)
    part.rename(model_folder(settings, card.name))
    return card
