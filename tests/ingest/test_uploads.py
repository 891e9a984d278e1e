"""Uploads: what is written lies inside the uploads folder, all of it or nothing."""

import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ingest
import kb
from ingest import unzip, uploads
from ingest.names import safe_path
from ingest.scan import scan
from kb.base import read_sources

TEXT = "# Title\n\nA sentence that is long enough to be kept in an index.\n"
NEW = TEXT.replace("Title", "New")
Files = list[tuple[str, Path]]


@pytest.fixture
def settings(tmp_path: Path) -> kb.Settings:
    return kb.load_settings(data_base=tmp_path / "data_base")


def sent(tmp_path: Path, *names: str, text: str = TEXT) -> Files:
    """Files as a browser sends them: the name beside a temporary file."""
    files = []
    for n, name in enumerate(names):
        path = tmp_path / f"temporary-{n}"
        path.write_text(text + str(n))
        files.append((name, path))
    return files


def archive(tmp_path: Path, *members: str | zipfile.ZipInfo, text: str = TEXT) -> Files:
    path = tmp_path / "sent.tmp"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for n, member in enumerate(members):
            zipped.writestr(member, text + str(n))
    return [("documents.zip", path)]


def kept(settings: kb.Settings) -> dict[str, str]:
    root = settings.data_base / "kbs" / "default"
    assert not list(root.glob(".upload-*"))
    root = root / "uploads"
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_files_become_one_source(settings: kb.Settings, tmp_path: Path) -> None:
    first = ingest.add_upload(settings, "default", sent(tmp_path, "笔记.md", "a/b.txt"))
    second = ingest.add_upload(settings, "default", sent(tmp_path, "笔记.md", text=NEW))
    assert first == second == read_sources(settings.data_base / "kbs" / "default")[0]
    assert (first.name, kept(settings)) == ("uploads", {"笔记.md": NEW + "0", "a/b.txt": TEXT + "1"})
    assert [file.path for file in scan(first, settings).files] == ["a/b.txt", "笔记.md"]
    ingest.remove_upload(settings, "default", "a/b.txt")
    assert [path.name for path in Path(first.path).iterdir()] == ["笔记.md"]
    for path in ("a/b.txt", "../sources.json", str(settings.data_base / "kbs/default/sources.json"), "", "a\0b"):
        with pytest.raises(kb.SourceError, match="no uploaded file"):
            ingest.remove_upload(settings, "default", path)
    ingest.remove_source(settings, "default", "uploads")
    assert not Path(first.path).exists()


def test_a_zip_gives_its_readable_files(settings: kb.Settings, tmp_path: Path) -> None:
    names = (
        "docs/a.md",
        "docs/图.png",
        "../../slip.md",
        "/etc/passwd.txt",
        "inner.zip",
        ".git/b.md",
        "__MACOSX/._a.md",
        "C:\\x\\y.rst",
    )
    ingest.add_upload(settings, "default", archive(tmp_path, *names))
    assert set(kept(settings)) == {"docs/a.md", "slip.md", "etc/passwd.txt", "x/y.rst"}


def test_names_of_a_chinese_windows_zip(settings: kb.Settings, tmp_path: Path) -> None:
    [(name, path)] = archive(tmp_path, "aaaa.md")
    path.write_bytes(path.read_bytes().replace(b"aaaa.md", "说明".encode("gbk") + b".md"))
    ingest.add_upload(settings, "default", [(name, path)])
    assert set(kept(settings)) == {"说明.md"}


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("evil link.md")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_what_is_refused_changes_nothing(settings: kb.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(says: str, files: Files) -> None:
        with pytest.raises(kb.SourceError, match=says) as caught:
            ingest.add_upload(settings, "default", files)
        assert "\n" not in str(caught.value)
        assert kept(settings) == {"a.md": TEXT + "0"}

    ingest.add_upload(settings, "default", sent(tmp_path, "a.md"))
    refused("'b.exe', 'c' cannot be read", sent(tmp_path, "a.md", "b.exe", "c"))
    refused("no file in it", archive(tmp_path, "b.exe"))
    refused("both be named 'b.md'", sent(tmp_path, "b.md", "../b.md"))
    refused("a file and a folder", sent(tmp_path, "b.md", "b.md/c.md"))
    refused("cannot be written", sent(tmp_path, "b.md", "a.md/c.md"))
    refused("'evil link.md' in it is a link", archive(tmp_path, "b.md", link()))
    refused("no zip", [("x.zip", sent(tmp_path, "x")[0][1])])
    refused("200 times", archive(tmp_path, "a.md", text="0" * 3_000_000))
    monkeypatch.setattr(unzip, "MAX_ENTRIES", 3)
    refused("3 is the limit", archive(tmp_path, *"a.md b.md c.md d.md".split()))
    monkeypatch.setattr(unzip, "MAX_BYTES", 300)
    refused("the limit|more than", archive(tmp_path, "a.md", "b.md", text=TEXT * 9))
    monkeypatch.setattr(uploads, "MAX_BYTES", 50)
    refused("send less", sent(tmp_path, "a.md", "b.md"))


def test_encrypted_entries_are_named(settings: kb.Settings, tmp_path: Path) -> None:
    [(name, path)] = archive(tmp_path, "a.md", "secret.md")
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(kb.SourceError, match=r"'secret\.md' in it is encrypted"):
        ingest.add_upload(settings, "default", [(name, path)])
    assert kept(settings) == {}


def test_sizes_that_an_archive_states_are_not_believed(settings: kb.Settings, tmp_path: Path) -> None:
    [(name, path)] = archive(tmp_path, "a.md", text="0" * 3_000_000)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<L", 10)
    path.write_bytes(data)
    with pytest.raises(kb.SourceError):
        ingest.add_upload(settings, "default", [(name, path)])
    assert kept(settings) == {}


def test_damage_is_told_in_one_short_line(settings: kb.Settings, tmp_path: Path) -> None:
    path = tmp_path / "sent.tmp"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as zipped:
        zipped.writestr("a" * 5000 + ".md", TEXT * 50)
    data = path.read_bytes()
    for damaged in (data.replace(b"aaa", b"\xff\n\x1b", 1), data.replace(b"BZh", b"BZx")):
        path.write_bytes(damaged)
        with pytest.raises(kb.SourceError, match="is damaged or no zip") as caught:
            ingest.add_upload(settings, "default", [("documents.zip", path)])
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


@given(
    st.text()
    | st.lists(st.sampled_from(["..", ".", "/", "\\", "C:", "con", "NUL.md", "a", "\0", " ", "文", "\ud800", "\u202e"])).map(
        "".join
    )
)
def test_a_safe_path_stays_below_its_folder(name: str) -> None:
    try:
        path = safe_path(name)
    except kb.SourceError:
        return
    assert isinstance(path, PurePosixPath)
    assert not path.is_absolute()
    assert 1 <= len(path.parts) <= 12
    for part in path.parts:
        assert part.isprintable()
        assert not part.startswith(".")
        assert not part.endswith((" ", "."))
        assert not set(part) & set('<>:"|?*\\/')
        assert len(part.encode()) <= 120
        assert part.split(".")[0].lower() not in ("con", "nul", "aux", "prn", "com1")
    assert safe_path(str(path)) == path


@given(name=st.text(min_size=1, max_size=40))
def test_what_is_written_lies_in_the_uploads(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    home = tmp_path_factory.mktemp("home")
    settings = kb.load_settings(data_base=home / "data_base")
    try:
        ingest.add_upload(
            settings, "default", [*sent(home, f"{name}.md"), ("x.zip", archive(home, f"../{name}.txt".replace("\0", ""))[0][1])]
        )
    except kb.SourceError:
        assert kept(settings) == {}
        return
    files = {path for path in home.rglob("*") if path.is_file() and path.name not in ("temporary-0", "sent.tmp", "sources.json")}
    assert 1 <= len(files) <= 2
    assert all(path.is_relative_to(home / "data_base" / "kbs" / "default" / "uploads") for path in files)


def test_names_stay_as_near_as_they_can() -> None:
    given_ = ("a/b.md", "C:\\docs\\说明.md", "con.md", "a:b?.md", "../../x.md", ".hidden.md", "长" * 100 + ".md", "e\u0301.md")
    assert [str(safe_path(name)) for name in given_] == [
        "a/b.md", "docs/说明.md", "_con.md", "a_b_.md", "x.md", "hidden.md", "长" * 39 + ".md", "é.md",
    ]  # fmt: skip
