"""The .gitignore files of a folder, read as git reads them."""

import os
from pathlib import Path

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from ingest.files import MIB, Unreadable, read_file, shown

_Rule = tuple[str, GitIgnoreSpecPattern]  # as it is written, and read


class Ignore:
    """The .gitignore files from a source down to one of its folders. The deepest one that names a path decides."""

    def __init__(self, files: tuple[tuple[str, list[_Rule]], ...] = ()) -> None:
        self._files = files  # deepest first, each with its folder, which is "" or ends in "/"

    def deeper(self, root: Path, folder: str) -> "Ignore":
        """With the .gitignore of `folder` too. One that cannot be read or is a link counts as not there, as in git."""
        try:
            data, _ = read_file(root / folder / ".gitignore", MIB)
        except Unreadable:
            return self
        lines = os.fsdecode(data.removeprefix(b"\xef\xbb\xbf")).replace("\r\n", "\n").split("\n")
        rules = [(line, pattern) for line in reversed(lines) if (pattern := _pattern(line))]
        return Ignore(((f"{folder}/" if folder else "", rules), *self._files))

    def names(self, path: str) -> str:
        """The rule that leaves `path` (a folder ends in "/") out, as "docs/.gitignore: *.log", or "".

        The folders above must have been asked about before: what is in a folder that is left out is out as well.
        """
        for folder, rules in self._files:
            for line, pattern in rules:
                if _names(pattern, path[len(folder) :]):
                    return f"{shown(folder)}.gitignore: {shown(line)}" if pattern.include else ""
        return ""


def _pattern(line: str) -> GitIgnoreSpecPattern | None:
    try:
        pattern = GitIgnoreSpecPattern(line)
    except GitIgnorePatternError:
        return None  # git passes over a line it cannot read
    return pattern if pattern.include is not None else None


def _names(pattern: GitIgnoreSpecPattern, path: str) -> bool:
    """Whether a pattern names this very path. pathspec also lets it name all that is below a folder it names; then
    "!b" would bring back b/x.md after "*.md", which in git it does not."""
    assert pattern.regex is not None
    matches = list(pattern.regex.finditer(path))
    if not matches:
        return False
    match = matches[-1]  # "*/" is found at each folder of the path: the last is the path itself
    if match.groupdict().get("ps_d"):  # pathspec's mark for the "/" after a folder that was named
        return match.end() == len(path)
    return match.end() < len(path) or not path.endswith("/")
