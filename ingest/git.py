"""A git repository as a source: a shallow clone in the knowledge base's folder, brought up to date before each run.

What a repository holds is foreign. Only the git command touches it, without hooks, submodules, large-file filters and
prompts, and over the protocols named here; nothing of it is run.
"""

import hashlib
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from urllib.parse import unquote, urlsplit

from kb.errors import SourceError

_SECONDS = 900
_FOLDER = "git"
_SCP = re.compile(r"[A-Za-z0-9][\w.-]*@[A-Za-z0-9][\w.-]*:(?!//)[^-\s]\S*", re.ASCII)
_SCHEME = re.compile(r"(https|ssh|file)://", re.IGNORECASE)
_BRANCH = re.compile(r"[^\s~^:?*\[\\\x00-\x20\x7f-][^\s~^:?*\[\\\x00-\x20\x7f]{0,200}")
_OPTIONS = {
    "protocol.ext.allow": "never",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",  # lines and hashes as they are in the repository
    "core.logAllRefUpdates": "false",  # a log of old commits would keep them on disk
    "submodule.recurse": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
}
# Set by a git that started us, as a hook does: they would lead ours to another repository.
_INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE",
              "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT")  # fmt: skip


def is_git_url(text: str) -> bool:
    """Whether a source is meant as a repository's address rather than a path."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) or re.match(r"[\w.-]+@[\w.-]+:", text))


def parse_url(text: str, local: bool = False) -> tuple[str, str]:
    """(address, branch or "") of `URL#BRANCH`; file:// only if `local`.

    Raises:
        SourceError: it is not an address that is read, or holds a password.
    """
    url, _, branch = text.strip().partition("#")
    if not (_SCHEME.match(url) or _SCP.fullmatch(url)) or not url.isprintable() or " " in url:
        raise SourceError(
            f"{text!r} is not a repository's address: use https://, ssh:// or git@host:path, with #BRANCH if need be."
        )
    if branch and (not _BRANCH.fullmatch(branch) or ".." in branch):
        raise SourceError(f"{branch!r} cannot name a branch.")
    if not _SCP.fullmatch(url):
        _check_parts(url, local)
    return url, branch


def _check_parts(url: str, local: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise SourceError(f"{url!r} is not a repository's address: {error}.") from error
    if parts.scheme == "file":
        if not local:
            raise SourceError("Repositories on this machine are added on the command line: `python -m ingest file:///PATH`.")
        return
    # An address is shown and stored; a token stands in the place of the user name as often as in that of the password.
    if parts.password is not None or (parts.scheme == "https" and parts.username is not None):
        raise SourceError(
            "The address holds a name or password: leave it out, and let git's credential helper or an SSH key sign in."
        )
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*|[0-9a-fA-F:.]+", host, re.ASCII) or (parts.username or "").startswith("-"):
        raise SourceError(f"{url!r} is not a repository's address: its host is not one.")


def label(url: str) -> str:
    """A repository's own name."""
    return unquote(re.split(r"[/:]", url.rstrip("/").removesuffix(".git"))[-1]).strip() or "repository"


def clone_folder(folder: Path, url: str, branch: str) -> Path:
    """Where the clone stands in the folder of a knowledge base."""
    return folder / _FOLDER / hashlib.sha256(f"{url}#{branch}".encode()).hexdigest()[:16]


def update(path: Path, url: str, branch: str) -> str:
    """Clone into `path`, or bring the clone there up to date; returns its commit. For the one writer.

    Raises:
        SourceError: git is not there, fails, or takes too long; what is indexed stays.
    """
    before = _commit(path, url)
    if before is None:
        return _clone(path, url, branch)
    for left in (path / ".git").glob("*.lock"):  # of a git that was killed: we are the only writer
        left.unlink()
    _git(
        url, "-C", str(path), "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", url, branch or "HEAD"
    )
    _git(url, "-C", str(path), "reset", "--quiet", "--hard", "FETCH_HEAD")
    after = _commit(path, url)
    if after != before:
        _git(url, "-C", str(path), "gc", "--quiet", "--prune=now")  # or the disk would grow with every fetch
    return after or _clone(path, url, branch)


def clean(folder: Path, kept: set[Path]) -> None:
    """Remove clones that belong to no source any more, and half ones."""
    for path in (folder / _FOLDER).glob("*"):
        if path not in kept:
            rmtree(path, ignore_errors=True)


def _clone(path: Path, url: str, branch: str) -> str:
    part = path.with_suffix(".part")
    rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    wanted = [f"--branch={branch}"] if branch else []
    try:
        _git(url, "clone", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--template=", "--no-recurse-submodules",
             *wanted, "--", url, str(part))  # fmt: skip
        commit = _commit(part, url)
        if commit is None:
            raise SourceError(f"The repository {url} is empty: there is nothing to index.")
        _git(url, "-C", str(part), "remote", "remove", "origin")  # its branch would keep this commit on disk for ever
        rmtree(path, ignore_errors=True)
        part.rename(path)
    except BaseException:
        rmtree(part, ignore_errors=True)
        raise
    return commit


def _commit(path: Path, url: str) -> str | None:
    """The commit that is checked out; None where there is no whole clone."""
    if not (path / ".git").is_dir():  # or git would look in the folders above
        return None
    try:
        commit = _git(url, "-C", str(path), "rev-parse", "--verify", "--quiet", "HEAD").strip()
    except SourceError:
        return None
    return commit if re.fullmatch(r"[0-9a-f]{40,64}", commit) else None


def _environment(url: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _INHERITED and not name.startswith("KB_")}
    own.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")  # no question on the terminal of whoever started us
    return own | {
        "GIT_ALLOW_PROTOCOL": "file" if url.lower().startswith("file:") else "https:ssh",  # also for redirects
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "LC_ALL": "C",
    }


def _git(url: str, *args: str) -> str:
    """Run git; returns what it prints. A process group of its own, so that its helpers end with it."""
    command = ["git", *(word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")), *args]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(url),
            start_new_session=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SourceError(f"The repository {url} needs the git command: install git.") from error
    try:
        out, err = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"The repository {url} took longer than {_SECONDS} s to fetch: try again later.") from error
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise SourceError(f"The repository {url} cannot be fetched ({_why(err)}): check the address, the branch and your access.")
    return out


def _why(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "no reason given")
    return "".join(char for char in telling.removeprefix("fatal: ") if char.isprintable()).rstrip(".")[:200]
