"""Where a passage of a repository stands on the web, at the commit that was indexed."""

import re
from urllib.parse import quote, urlsplit

# Host → what stands before the commit, and how lines 3 to 9 are written.
_HOSTS = {"github.com": ("/blob/", "#L{}-L{}"), "gitlab.com": ("/-/blob/", "#L{}-{}"), "gitee.com": ("/blob/", "#L{}-{}")}
# These hosts show a page made from such a file, which has no lines, unless asked for the plain text.
_RENDERED = re.compile(r"\.(md|markdown|rst)", re.IGNORECASE)
_PLAIN = frozenset({"github.com", "gitlab.com"})
_SCP = re.compile(r"[\w.-]+@([\w.-]+):(?!//)(.+)")
_PART = re.compile(r"[\w.-]+", re.ASCII)


def permalink(url: str, commit: str, path: str, start: int = 0, end: int = 0) -> str | None:
    """The page of `path` at `commit`, lines `start` to `end` of it (0: the whole file), in the repository `url`.

    None for hosts other than github.com, gitlab.com and gitee.com. Of `url` only the host and the repository's name are used,
    so the link is https and holds no user name.
    """
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        return None
    if scp := _SCP.fullmatch(url):
        host, repository = scp[1], scp[2]
    else:
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if parts.scheme not in ("https", "ssh"):
            return None
        host, repository = parts.hostname or "", parts.path
    host = host.lower()
    names = repository.strip("/").removesuffix(".git").split("/")
    if host not in _HOSTS or len(names) < 2 or not all(_PART.fullmatch(name) and name.strip(".") for name in names):
        return None
    if not path or any(part in ("", ".", "..") for part in path.split("/")):
        return None
    blob, lines = _HOSTS[host]
    link = f"https://{host}/{'/'.join(names)}{blob}{commit}/{quote(path)}"
    if start < 1:
        return link
    if host in _PLAIN and _RENDERED.fullmatch(path[path.rfind(".") :]):
        link += "?plain=1"
    return link + (lines.format(start, end) if end > start else f"#L{start}")


def has_lines(path: str) -> bool:
    """Whether the lines of a document are those of its file: text as it is, not what was made from a page or a cell."""
    return re.search(r"(\.(md|markdown|txt|rst)|(^|/)readme)$", path, re.IGNORECASE) is not None
