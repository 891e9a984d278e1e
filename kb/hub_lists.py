"""What a hub has: the files of a model repository at one commit, with sizes and hashes, from either of two interfaces.

Hugging Face: https://huggingface.co/docs/hub/api (its mirrors speak it too). ModelScope: the interface of its own client.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import httpx

from kb.errors import ModelError
from kb.settings import Settings

Source = Literal["hub", "modelscope"]
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch. `sha256` of its bytes, or `blob`, git's sha1 of a small one; empty where the hub does not say."""

    name: str
    size: int
    url: str
    sha256: str = ""
    blob: str = ""


@contextmanager
def client(settings: Settings, source: Source) -> Iterator[httpx.Client]:
    """A client for a hub. A token goes to the hub alone, not where it redirects to."""
    headers = {"User-Agent": "internkb", "Accept-Encoding": "identity"}
    if source == "hub" and settings.hub_token:
        headers["Authorization"] = f"Bearer {settings.hub_token}"
    timeout = httpx.Timeout(settings.hub_seconds, connect=settings.connect_seconds)
    with httpx.Client(headers=headers, timeout=timeout, follow_redirects=True) as one:
        yield one


def check_repo(repo: str) -> None:
    """Raises ModelError for what cannot be a repository's name."""
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise ModelError(f"{repo!r} is no name of a model on a hub: it is like internlm/internlm2_5-1_8b-chat.")


def list_files(one: httpx.Client, settings: Settings, source: Source, repo: str, revision: str) -> tuple[str, list[RemoteFile]]:
    """The commit that `revision` names, and the files there.

    Raises:
        ModelError: there is no such repository or revision, it may not be read, or the hub cannot be reached.
    """
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise ModelError(f"{repo!r} is no name of a model on a hub: it is like internlm/internlm2_5-1_8b-chat.")
    return (
        _hub(one, settings, repo, revision or "main")
        if source == "hub"
        else _modelscope(one, settings, repo, revision or "master")
    )


def _hub(one: httpx.Client, settings: Settings, repo: str, revision: str) -> tuple[str, list[RemoteFile]]:
    root = settings.hub_endpoint.rstrip("/")
    commit = str(_json(one, f"{root}/api/models/{repo}/revision/{quote(revision, safe='')}", root, repo)["sha"])
    files: list[RemoteFile] = []
    url = f"{root}/api/models/{repo}/tree/{commit}?recursive=true"
    while url:
        reply = _get(one, url, root, repo)
        for row in _rows(reply, root):
            if row.get("type") == "file":
                sha256 = str((row.get("lfs") or {}).get("oid", "")).removeprefix("sha256:")
                where = f"{root}/{repo}/resolve/{commit}/{quote(row['path'])}"
                blob = "" if sha256 else str(row.get("oid", ""))
                files.append(RemoteFile(str(row["path"]), int(row["size"]), where, sha256, blob))
        url = reply.links.get("next", {}).get("url", "")
        if url and not url.startswith(f"{root}/"):  # a mirror's pages are the mirror's
            url = f"{root}/api/" + url.split("/api/", 1)[-1]
    return commit, files


def _modelscope(one: httpx.Client, settings: Settings, repo: str, revision: str) -> tuple[str, list[RemoteFile]]:
    root = settings.modelscope_endpoint.rstrip("/")
    base = f"{root}/api/v1/models/{repo}/repo"
    value = _json(one, f"{base}/files?Revision={quote(revision, safe='')}&Recursive=true", root, repo)
    if value.get("Code", 200) != 200 or not isinstance(value.get("Data"), dict):
        raise ModelError(f"{root} does not give {repo} at {revision}: {value.get('Message', 'no reason given')}.")
    files = []
    for row in value["Data"].get("Files") or []:
        if row.get("Type") != "tree":
            url = f"{base}?Revision={quote(revision, safe='')}&FilePath={quote(row['Path'], safe='')}"
            files.append(RemoteFile(str(row["Path"]), int(row["Size"]), url, str(row.get("Sha256") or "")))
    return revision, files


def _rows(reply: httpx.Response, root: str) -> list[dict[str, Any]]:
    try:
        return [dict(row) for row in reply.json()]
    except (ValueError, TypeError) as error:
        raise ModelError(f"{root} does not answer as a hub does ({error}): check hub_endpoint.") from error


def _json(one: httpx.Client, url: str, root: str, repo: str) -> dict[str, Any]:
    try:
        return dict(_get(one, url, root, repo).json())
    except (ValueError, TypeError) as error:
        raise ModelError(f"{root} does not answer as a hub does ({error}): check the endpoint in the settings.") from error


def _get(one: httpx.Client, url: str, root: str, repo: str) -> httpx.Response:
    try:
        reply = one.get(url)
    except httpx.HTTPError as error:
        raise unreachable(root, error) from error
    refuse_status(reply, root, repo)
    return reply


def refuse_status(reply: httpx.Response, root: str, what: str) -> None:
    """Raises ModelError for a reply that is none."""
    if reply.status_code in (401, 403):
        raise ModelError(
            f"{root} does not let us read {what}: accept its terms there, and set hub_token (or HF_TOKEN) to a token."
        )
    if reply.status_code == 404:
        raise ModelError(f"{root} has no {what} (or no such revision of it): look at how it is spelled there.")
    if not reply.is_success:
        raise ModelError(f"{root} answers {reply.status_code} when asked for {what}: try again later, or another source.")


def unreachable(root: str, error: Exception) -> ModelError:
    """The sentence for a hub that does not answer."""
    why = f"{type(error).__name__}: {error}".rstrip(": ")
    return ModelError(f"{root} cannot be reached ({why}): set hub_endpoint to a mirror, or take it with --source modelscope.")
