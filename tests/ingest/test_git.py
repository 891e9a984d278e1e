"""Repositories as sources, over file:// and without a network."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ingest
import kb
from ingest import git
from ingest.sources import add_source_from_page
from kb.base import read_sources
from kb.records import Source
from tests.fake_embedder import fake_embedder

Git = Callable[..., str]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> kb.Settings:
    monkeypatch.setattr("ingest.build.load_embedder", lambda _: fake_embedder())
    monkeypatch.setattr("kb.base.load_embedder", lambda _: fake_embedder())
    monkeypatch.setenv("HOME", str(tmp_path))  # a developer's own git settings are not the tests'
    return kb.load_settings(data_base=tmp_path / "data_base")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook.git"
    folder.mkdir()
    run(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "docs/apple.md", "# Apple\n\nThe apple is described here in one sentence that is long enough.\n")
    return folder


def run(folder: Path, *args: str) -> str:
    command = [
        "git",
        "-c",
        "user.name=T",
        "-c",
        "user.email=t@example.org",
        "-c",
        "commit.gpgsign=false",
        "-C",
        str(folder),
        *args,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    run(folder, "add", "-A")
    run(folder, "commit", "--quiet", "-m", name)
    return run(folder, "rev-parse", "HEAD")


def paths(settings: kb.Settings) -> set[str]:
    return {info.path for info in kb.KnowledgeBase.open("default", settings).snapshot().documents()}


def test_a_repository_is_cloned_indexed_and_followed(settings: kb.Settings, origin: Path) -> None:
    first = run(origin, "rev-parse", "HEAD")
    source = ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    assert (source.name, source.where) == ("handbook", origin.as_uri())
    assert ingest.add_git_source(settings, "default", origin.as_uri(), local=True) == source
    ingest.reindex("default", settings)
    base = kb.KnowledgeBase.open("default", settings)
    assert paths(settings) == {"docs/apple.md"}
    assert base.manifest().report["commits"]["handbook"] == {"url": origin.as_uri(), "commit": first}
    assert ingest.reindex("default", settings).generation is None

    (origin / "docs" / "apple.md").unlink()
    second = commit(origin, "docs/pear.md", "# Pear\n\nThe pear is described here in one sentence that is long enough.\n")
    ingest.reindex("default", settings)
    assert paths(settings) == {"docs/pear.md"}
    assert base.manifest().report["commits"]["handbook"]["commit"] == second
    ingest.pause_source(settings, "default", "handbook")
    commit(origin, "docs/plum.md", "# Plum\n\nThe plum is described here in one sentence that is long enough.\n")
    other = settings.data_base.parent / "other.md"
    other.write_text("# Other\n\nAnother page, with a sentence that is long enough to be kept.\n")
    ingest.add_source(settings, "default", other)
    ingest.reindex("default", settings)
    assert paths(settings) == {"docs/pear.md", "other.md"}
    assert base.manifest().report["commits"]["handbook"]["commit"] == second


def test_a_branch(settings: kb.Settings, origin: Path) -> None:
    run(origin, "checkout", "--quiet", "-b", "next/2.0")
    commit(origin, "next.md", "# Next\n\nWhat comes next is described here in one sentence that is long enough.\n")
    run(origin, "checkout", "--quiet", "main")
    ingest.add_git_source(settings, "default", origin.as_uri() + "#next/2.0", local=True)
    ingest.reindex("default", settings)
    assert "next.md" in paths(settings)
    with pytest.raises(kb.SourceError, match="nowhere"):
        ingest.add_git_source(settings, "default", origin.as_uri() + "#nowhere", local=True)
    assert len(read_sources(settings.data_base / "kbs" / "default")) == 1


def test_a_repository_that_is_gone_leaves_the_index_as_it_is(settings: kb.Settings, origin: Path) -> None:
    ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    ingest.reindex("default", settings)
    origin.rename(origin.with_name("away"))
    with pytest.raises(kb.SourceError, match=r"handbook.git cannot be fetched \(.+\): check"):
        ingest.reindex("default", settings)
    assert paths(settings) == {"docs/apple.md"}


def test_what_a_killed_git_left_is_no_obstacle(settings: kb.Settings, origin: Path) -> None:
    source = ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    clone = Path(source.path)
    for name in ("index.lock", "shallow.lock", "HEAD.lock"):
        (clone / ".git" / name).touch()
    half = clone.with_name("0123.part")
    half.mkdir()
    (clone / "docs" / "apple.md").write_text("scribbled over")
    ingest.reindex("default", settings)
    assert (paths(settings), half.exists()) == ({"docs/apple.md"}, False)
    (clone / ".git" / "HEAD").write_text("nonsense")
    assert ingest.reindex("default", settings).generation is None


def test_the_clone_goes_with_its_source(settings: kb.Settings, origin: Path) -> None:
    source = ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    ingest.reindex("default", settings)
    ingest.remove_source(settings, "default", origin.as_uri())
    assert not Path(source.path).exists()
    assert origin.exists()
    ingest.reindex("default", settings)
    assert paths(settings) == set()


def test_old_commits_do_not_stay_on_disk(settings: kb.Settings, origin: Path) -> None:
    source = ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    for n in range(4):
        commit(origin, "docs/apple.md", f"# Apple\n\nEdition {n} of a sentence that is long enough to be kept.\n")
        git.update(Path(source.path), source.url, source.branch)
    assert int(run(Path(source.path), "rev-list", "--count", "--all")) == 1
    assert "in-pack: 4" in run(Path(source.path), "count-objects", "-v"), "a commit, two trees, a file"


def test_nothing_of_a_repository_is_run(settings: kb.Settings, origin: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for hook in ("post-checkout", "post-merge", "reference-transaction"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / hook).chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {tmp_path / 'template'}\n")
    commit(origin, ".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% ' + str(ran) + "\n")
    ran.unlink(missing_ok=True)
    ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    ingest.reindex("default", settings)
    assert not ran.exists()


def test_one_that_takes_too_long_is_given_up(settings: kb.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(git, "_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(kb.SourceError, match="took longer"):
        ingest.add_git_source(settings, "default", "https://example.org/x.git")
    assert time.monotonic() - started < 5
    slow.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(kb.SourceError, match="install git"):
        ingest.add_git_source(settings, "default", "https://example.org/x.git")


@pytest.mark.parametrize(
    "text",
    ["http://example.org/x.git", "ext::sh -c touch%20x", "ssh://-oProxyCommand=x/y", "git@-oProxyCommand=x:y", "git@host:-x",
     "--upload-pack=x", "https://user:secret@github.com/x/y", "https://token@github.com/x/y", "https://github.com/x/y#-b", "https://github.com/x/y#a..b",
     "https://github.com/x y", "https:///x", "https://github.com/x\ny", "https://[x/y", "ssh://-u@host/x"],
)  # fmt: skip
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(kb.SourceError) as caught:
        git.parse_url(text, local=True)
    assert "secret@" not in str(caught.value)


def test_addresses() -> None:
    for text in ("https://github.com/x/y.git", "ssh://git@host:2222/x/y", "git@host:x/y.git"):
        assert git.is_git_url(text)
        assert git.parse_url(text) == (text, "")
        assert git.parse_url(f"{text}#v1.0") == (text, "v1.0")
    assert not any(git.is_git_url(text) for text in ("docs", "/a/b", "~/x", "a@b/c", "C:\\x", "./a:b"))
    assert [git.label(url) for url in ("https://h/x/y.git/", "git@h:y.git", "https://h/x/%E6%96%87")] == ["y", "y", "文"]


def test_the_page_reads_no_repository_of_this_machine(settings: kb.Settings, origin: Path) -> None:
    with pytest.raises(kb.SourceError, match="on the command line"):
        add_source_from_page(settings, "default", origin.as_uri())


def test_a_hit_links_to_its_lines_at_that_commit(settings: kb.Settings, origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    ingest.reindex("default", settings)
    generation = kb.KnowledgeBase.open("default", settings).snapshot()
    hit = kb.KnowledgeBase.open("default", settings).search("apple").hits[0]
    assert generation.permalink(hit) is None
    sha = run(origin, "rev-parse", "HEAD")
    monkeypatch.setitem(generation.manifest.report["commits"]["handbook"], "url", "git@github.com:x/y.git")
    assert (
        generation.permalink(hit)
        == f"https://github.com/x/y/blob/{sha}/docs/apple.md?plain=1#L{hit.chunk.start}-L{hit.chunk.end}"
    )


def test_sources_json_of_before_is_read_and_clones_move_with_their_folder(settings: kb.Settings, origin: Path) -> None:
    folder = settings.data_base / "kbs" / "default"
    folder.mkdir(parents=True)
    (folder / "sources.json").write_text(
        json.dumps({"version": "0.1.0", "sources": [{"name": "a", "path": "/a", "paused": True}]})
    )
    assert read_sources(folder) == [Source("a", "/a", paused=True)]
    source = ingest.add_git_source(settings, "default", origin.as_uri(), local=True)
    moved = folder.rename(folder.with_name("moved"))
    assert Path(read_sources(moved)[1].path) == moved / Path(source.path).relative_to(folder)
