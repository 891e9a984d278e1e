"""scan: every path of a source is either to be indexed, once, or left out with a reason."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files import Unreadable, read_file, shown
from ingest.prose import verdict
from ingest.scan import Scan, scan
from kb.errors import SourceError
from kb.records import WHY_SKIPPED, Source
from kb.settings import Settings
from tests.ingest.nasty import build

REQUIREMENTS = "# pinned\nnumpy>=1.2\ntorch==2.1; python_version<'3.12'\n-r a.txt\n"
PROSE = "# Title {n}\n\nA sentence of prose number {n}.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "source"


def write(folder: Path, *paths: str, text: str = "") -> None:
    for n, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text or PROSE.format(n=f"{path} {n}"))


def look(folder: Path, **given: Any) -> Scan:
    return scan(Source("s", str(folder)), Settings(**given))


def kept(result: Scan) -> list[str]:
    return [file.path for file in result.files]


def reasons(result: Scan) -> dict[str, str]:
    return {skipped.path: skipped.reason for skipped in result.skipped}


def test_everything_is_accounted_for(folder: Path) -> None:
    folder.mkdir()
    good, nasty = build(folder)
    result = look(folder, max_file_mib=1)
    paths = [*kept(result), *reasons(result)]
    assert sorted(paths) == sorted([*good, *nasty])
    assert set(good) <= set(kept(result))
    for skipped in result.skipped:
        assert skipped.reason in WHY_SKIPPED
        assert skipped.sentence
        assert skipped.path.isprintable()
    assert result == look(folder, max_file_mib=1)


def test_git_ignores_as_git_does(folder: Path) -> None:
    write(folder, "a.md", "build/x.md", "sub/a.md", "sub/keep.md", "sub/deep/b.md", "other/build/y.md", "logs/x.md")
    write(folder, ".gitignore", text="build/\n!build/x.md\nlogs/*\n!logs/x.md\n# comment\n[\n")
    write(folder, "sub/.gitignore", text="/a.md\nkeep.md\n!keep.md\ndeep/*.md\n")
    result = look(folder)
    assert kept(result) == ["a.md", "logs/x.md", "sub/keep.md"]
    assert {path: why for path, why in reasons(result).items() if why == "gitignored"} == {
        "build/": "gitignored",
        "other/build/": "gitignored",
        "sub/a.md": "gitignored",
        "sub/deep/b.md": "gitignored",
    }
    assert "sub/.gitignore: /a.md" in {skipped.detail for skipped in result.skipped}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git to compare with")
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_files_as_git(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    import subprocess

    name = st.sampled_from(["a", "b", "c.md"])
    pattern = st.sampled_from("a a/ /a *.md !x.md a/* !a/x.md **/b b/** !b a/**/y.md x.* \\!a !c.md /*/y.md # a/b".split(" "))
    folder = tmp_path_factory.mktemp("git")
    for path in data.draw(st.sets(st.lists(name, min_size=1, max_size=3).map("/".join), max_size=8)):
        write(folder, f"{path}/x.md", f"{path}/y.md")
    for where in data.draw(st.sets(st.sampled_from(["", "a/", "b/", "a/b/"]), max_size=3)):
        write(folder, f"{where}.gitignore", text="\n".join(data.draw(st.lists(pattern, min_size=1, max_size=4))))
    git = ["git", "-c", "core.excludesFile=", "-C", str(folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = subprocess.run([*git, "ls-files", "-co", "--exclude-standard", "-z"], check=True, capture_output=True, text=True)
    assert kept(look(folder)) == sorted(path for path in listed.stdout.split("\0") if path and ".gitignore" not in path)


def test_what_is_no_prose_is_left_out(folder: Path) -> None:
    write(folder, "LICENSE", "LICENSE.txt", "NOTICE.md", text="Apache License\n\nAll rights reserved.\n")
    write(folder, "license-plates.md", text="# Licence plates\n\nHow plates are read by the camera.\n")
    write(folder, "CMakeLists.txt", text="project(x)\nadd_executable(x main.c)\n")
    write(
        folder,
        "requirements.txt",
        "requirements/dev.txt",
        text="# pinned\nnumpy>=1.2\ntorch==2.1; python_version<'3.12'\n-r a.txt\n",
    )
    write(folder, "requirements/why.txt", text="We require that every part is tested before it ships. This is why.\n")
    write(folder, "empty.md", "code.py", ".hidden.md", ".git/config", text="x")
    (folder / "empty.md").write_bytes(b"")
    write(folder, "stub.md", text="# A title\n\nComing soon...\n")
    write(folder, "short.md", text="# A title\n\nIt is short, but it says something.\n")
    write(folder, "page.rst", text="{{ fullname | escape | underline }}\n\n.. autoclass:: {{ objname }}\n   :members:\n")
    result = look(folder)
    assert kept(result) == ["license-plates.md", "requirements/why.txt", "short.md"]
    assert reasons(result) == {
        ".git/": "hidden",
        ".hidden.md": "hidden",
        "CMakeLists.txt": "build-file",
        "LICENSE": "licence",
        "LICENSE.txt": "licence",
        "NOTICE.md": "licence",
        "code.py": "format",
        "empty.md": "empty",
        "page.rst": "data",
        "requirements.txt": "build-file",
        "requirements/dev.txt": "build-file",
        "stub.md": "empty",
    }


@pytest.mark.parametrize(
    ("text", "is_data"),
    [
        (
            "".join(
                f"Q: Is {n} even?\nOptions:\n(A) yes\n(B) no\nA: Let's think step by step.\nSo the answer is (A).\n\n"
                for n in "246"
            ),
            True,
        ),
        (
            "Q: How do I install it?\nA: Run the installer and follow it.\n\nQ: Is it free?\nA: Yes, it is free of charge.\n",
            False,
        ),
        ("".join(f"row{n}\t{n}\t{n * n}\n" for n in range(20)), True),
        ("data/train.json 0.5\ndata/test.json 0.1\n", True),
        ("kapˈitulo ˈuno de daβˈid kˌoppeɾfjˈelð o el soβɾˈino\n", True),
        ("Shopping list\n\nmilk\nbread\nthree apples\n", False),
        ("First paragraph, which is prose.\n\nSecond one; it has a semicolon, and commas.\n", False),
        ("第一章 总则\n\n本章说明知识库的用途。文本不多，但都是正文。\n", False),
        ("Dear all,\n\nthe meeting is on Monday, at ten.\nPlease bring: pens, paper, patience.\n\nYours,\nA.\n", False),
    ],
)
def test_data_is_told_from_prose_by_what_it_is(folder: Path, text: str, is_data: bool) -> None:
    write(folder, "some.txt", text=text)
    assert ("some.txt" not in kept(look(folder))) == is_data


@pytest.mark.parametrize(
    "part",
    [
        "{%",
        "{{",
        "a",
        ".",
        "a.",
        "q ",
        "q1",
        "problem1",
        " ",
        "1",
        "a b",
        "- ",
        "[",
        "ˈ",
        "x=",
        "-a",
        "#",
        "=",
        "a;",
        "(A)",
        "\n.. a",
        " ",
        "a",
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.rst", "requirements.txt", "LICENSE.md"])
def test_judging_takes_no_time(part: str, name: str) -> None:
    started = time.process_time()
    long = part * 40_000
    for text in (long, f"x y\n{long} !", f"problem{long}", f"a{long}(", f"-{long} x y", "\n".join([part * 40] * 1000)):
        verdict(name, "folder", text)
    assert time.process_time() - started < 1


def test_copies_are_kept_once_under_the_highest_name(folder: Path) -> None:
    write(folder, "b/deep/x.md", "a/x.md", "b/y.md", "z.md", text="# Same\n\nThe same bytes everywhere.\n")
    result = look(folder)
    assert kept(result) == ["z.md"]
    assert result.files[0].aliases == ("a/x.md", "b/y.md", "b/deep/x.md")
    assert {(s.path, s.reason, s.detail) for s in result.skipped} == {
        (path, "duplicate", "z.md") for path in ("a/x.md", "b/y.md", "b/deep/x.md")
    }


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    write(folder, "real.md", "sub/inner.md")
    write(tmp_path, "secret.md")
    for link, target in {
        "loop": folder,
        "sub/up": folder / "sub",
        "out": tmp_path,
        "out.md": tmp_path / "secret.md",
        "self": folder / "self",
        "in.md": folder / "real.md",
        "in": folder / "sub",
        "gone": folder / "nowhere",
    }.items():
        (folder / link).symlink_to(target)
    result = look(folder)
    assert kept(result) == ["real.md", "sub/inner.md"]
    assert reasons(result) == {
        "gone": "unreadable",
        "in": "linked",
        "in.md": "linked",
        "loop": "link",
        "out": "link",
        "out.md": "link",
        "self": "link",
        "sub/up": "link",
    }


def test_a_source_may_be_a_link_or_a_single_file(folder: Path, tmp_path: Path) -> None:
    write(folder, "a.md")
    (tmp_path / "link").symlink_to(folder)
    assert kept(look(tmp_path / "link")) == ["a.md"]
    assert kept(look(folder / "a.md")) == ["a.md"]


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file or folder"):
        look(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(FileNotFoundError(2, "No such file"), "vanished"), (PermissionError(13, "Permission denied"), "unreadable")],
)
def test_files_that_cannot_be_opened(folder: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str) -> None:
    write(folder, "a.md", "b.md")
    monkeypatch.setattr(os, "open", _failing(os.open, error))
    result = look(folder)
    assert kept(result) == ["a.md"]
    assert reasons(result) == {"b.md": reason}


def _failing(function: Callable[..., int], error: OSError) -> Callable[..., int]:
    def opened(path: Path, *rest: int) -> int:
        if str(path).endswith("b.md"):
            raise error
        return function(path, *rest)

    return opened


def test_a_folder_that_cannot_be_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "a.md", "closed/b.md")
    listed = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: _refuse() if str(path).endswith("closed") else listed(path))
    result = look(folder)
    assert kept(result) == ["a.md"]
    assert reasons(result) == {"closed/": "unreadable"}


def _refuse() -> None:
    raise PermissionError(13, "Permission denied")


def test_a_file_that_became_a_pipe_does_not_hold_the_scan(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "pipe.md")
    with pytest.raises(Unreadable) as caught:
        read_file(folder / "pipe.md", 100)
    assert caught.value.reason == "special"


def test_too_big_is_said_with_both_sizes(folder: Path) -> None:
    write(folder, "big.md", text="word " * 300_000)
    result = look(folder, max_file_mib=1)
    assert [skipped.sentence for skipped in result.skipped] == ["too big (1.4 MiB, the limit is 1 MiB)"]


@given(st.binary(min_size=1, max_size=12), st.binary(min_size=1, max_size=12))
def test_shown_paths_are_printable_and_stay_different(a: bytes, b: bytes) -> None:
    first, second = shown(os.fsdecode(a)), shown(os.fsdecode(b))
    assert first.isprintable()
    assert (first == second) == (a == b)
    first.encode()


def test_a_folder_that_holds_data_base_is_indexed_without_it(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "docs/data_base/kbs/x/uploads/b.md")
    result = look(tmp_path / "docs", data_base=tmp_path / "docs" / "data_base")
    assert kept(result) == ["a.md"]
    assert reasons(result) == {"data_base/": "own"}
