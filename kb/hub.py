"""Models and single files from a hub: resumed where they were cut, checked against the hashes that the hub names.

One small client for both hubs. huggingface_hub begins a file anew after a cut and compares sizes only (docs/decisions).
"""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import httpx

from kb import model_files, models
from kb.disk import disk_errors, enough_room
from kb.errors import ModelError
from kb.hub_lists import RemoteFile, Source, check_repo, client, list_files, refuse_status, unreachable
from kb.model_card import Card
from kb.models import Tell
from kb.progress import Meter
from kb.settings import Settings

_WAITS = (0.5, 1, 2, 4, 8)  # seconds before a cut transfer is taken up again; progress starts them anew
_ORIGIN = ".origin.json"


def download(
    settings: Settings, repo: str, *, revision: str = "", source: Source = "hub", name: str = "", tell: Tell | None = None
) -> Card:
    """Fetch the model `repo` and register it as `name` (the last part of its own); InternLM and InternLM2 are converted.

    What a call that ended early has fetched stays in models/.downloads/ and is not fetched again.

    Raises:
        ModelError: there is no such model, only pickled weights, no room, a file that is not what the hub says it is …
    """
    check_repo(repo)
    name = name or repo.rpartition("/")[2]
    with models.building(settings, name) as part, client(settings, source) as one:
        commit, files = list_files(one, settings, source, repo, revision)
        by_name = {file.name: file for file in files}
        model_files.refuse_names([*by_name], repo)
        folder = models.models_root(settings) / ".downloads" / name
        with disk_errors(folder):
            _begin(folder, {"source": source, "repo": repo, "commit": commit, "files": {file.name: file.size for file in files}})
            if model_files.INDEX in by_name:
                _fetch(one, by_name[model_files.INDEX], folder / model_files.INDEX, Meter("index", 1, None))
            weights = model_files.weight_names([*by_name], model_files.read_json(folder / model_files.INDEX))
            if missing := [file for file in weights if file not in by_name]:
                raise ModelError(f"{repo} lacks {missing[0]}, which its own index names: take another revision.")
            wanted = [file for file in files if model_files.belongs(file.name) and not file.name.endswith(".safetensors")]
            wanted += [by_name[file] for file in weights]
            _fetch_all(one, wanted, folder, tell)
        card = models.take_in(settings, folder, part, name, f"{source} {repo}@{commit}", tell, move=True)
        shutil.rmtree(folder, ignore_errors=True)
    return card


def fetch_files(
    settings: Settings,
    repo: str,
    names: Sequence[str],
    to: Path,
    *,
    revision: str = "",
    source: Source = "hub",
    tell: Tell | None = None,
) -> list[Path]:
    """Fetch single files of a repository into the folder `to`, under the last part of their names.

    Raises:
        ModelError: as download(), or there is no file of that name.
    """
    with client(settings, source) as one:
        by_name = {file.name: file for file in list_files(one, settings, source, repo, revision)[1]}
        if unknown := [name for name in names if name not in by_name]:
            raise ModelError(f"{repo} has no file {unknown[0]!r}; it has {', '.join(sorted(by_name)[:20])}.")
        with disk_errors(to):
            to.mkdir(parents=True, exist_ok=True)
            for path in (to / PurePosixPath(name).name for name in names):
                if path.exists():
                    raise ModelError(f"{path} is there already: name another folder (--to).")
            return _fetch_all(one, [by_name[name] for name in names], to, tell)


def _begin(folder: Path, origin: dict[str, object]) -> None:
    """Go on in `folder` where it is the same model at the same commit, else empty it."""
    path = folder / _ORIGIN
    if folder.exists() and (not path.exists() or model_files.read_json(path) != origin):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(origin), "utf-8")


def _fetch_all(one: httpx.Client, files: Sequence[RemoteFile], folder: Path, tell: Tell | None) -> list[Path]:
    paths = [folder / PurePosixPath(file.name).name for file in files]
    have = sum(_have(path) for path in paths)
    total = sum(file.size for file in files)
    enough_room(folder, max(0, total - have))
    meter = Meter("download", total, tell, have)
    for file, path in zip(files, paths, strict=True):
        _fetch(one, file, path, meter)
    return paths


def _incomplete(path: Path) -> Path:
    return path.with_name(f"{path.name}.incomplete")


def _have(path: Path) -> int:
    return next((one.stat().st_size for one in (path, _incomplete(path)) if one.is_file()), 0)


def _fetch(one: httpx.Client, file: RemoteFile, path: Path, meter: Meter) -> None:
    """One file, whole and checked. What is there of it already is not asked for again."""
    part = _incomplete(path)
    if path.is_file():
        if path.stat().st_size == file.size and _is(path, file):
            return
        meter.add(-path.stat().st_size)
        path.unlink()
    cuts = 0
    while (have := part.stat().st_size if part.exists() else 0) < file.size or not part.exists():
        try:
            _transfer(one, file, part, have, meter)
        except httpx.HTTPError as error:
            cuts = 1 if part.exists() and part.stat().st_size > have else cuts + 1
            if cuts > len(_WAITS):
                raise unreachable(f"{httpx.URL(file.url).scheme}://{httpx.URL(file.url).host}", error) from error
            time.sleep(_WAITS[cuts - 1])
    if part.stat().st_size != file.size or not _is(part, file):
        meter.add(-part.stat().st_size)
        part.unlink()
        raise ModelError(f"{file.name} is not what the hub says it is (another hash), so it was thrown away: fetch it again.")
    part.rename(path)


def _transfer(one: httpx.Client, file: RemoteFile, part: Path, have: int, meter: Meter) -> None:
    with one.stream("GET", file.url, headers={"Range": f"bytes={have}-"} if have else {}) as reply:
        if reply.status_code == 429 or reply.is_server_error:
            reply.raise_for_status()  # for a while, so it is asked again
        refuse_status(reply, str(httpx.URL(file.url).copy_with(query=None)), file.name)
        if have and reply.status_code != 206:  # it begins anew
            meter.add(-have)
            have = 0
        with part.open("ab" if have else "wb") as out:
            for data in reply.iter_bytes():
                out.write(data)
                meter.add(len(data))
                if out.tell() > file.size:
                    return  # more than was promised: the check says so
    if part.stat().st_size < file.size:
        raise httpx.RemoteProtocolError("it ended early")


def _is(path: Path, file: RemoteFile) -> bool:
    """Whether the file is what the hub promised; true where it promises nothing."""
    if not file.sha256 and not file.blob:
        return True
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as stream:
        while data := stream.read(16 * 1024**2):
            digest.update(data)
    return digest.hexdigest() == (file.sha256 or file.blob)
