"""Properties of a run: what is in the sources is in both legs, once; nothing changed means nothing written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ingest
import kb
from ingest.lock import locked
from kb.base import generation_folder
from kb.index import Generation, verify

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def page(topic: str) -> str:
    about = f"The {topic} is described here in one sentence that is long enough to stand."
    return f"# About {topic}\n\n{about}\n\n## Use\n\nRun `{topic} start`.\n"


@pytest.fixture
def settings(data_base: Path) -> kb.Settings:
    return kb.load_settings(data_base=data_base)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for topic in ("apple", "banana", "cherry", "durian", "elderberry", "fig"):
        write(folder, f"{topic}/README.md", page(topic))
    return folder


def contents(settings: kb.Settings) -> tuple[set[str], set[str]]:
    """Chunk ids and document paths of the live generation, after checking that both legs hold the same."""
    generation = kb.KnowledgeBase.open("default", settings).snapshot()
    verify(generation.folder)
    return generation.chunk_ids(), {info.path for info in generation.documents()}


def fresh_ids(settings: kb.Settings, docs: Path, tmp_path: Path) -> set[str]:
    other = settings.model_copy(update={"data_base": tmp_path / "fresh"})
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "models").symlink_to(settings.data_base / "models")
    ingest.add_source(other, "default", docs)
    ingest.reindex("default", other)
    return contents(other)[0]


def snapshot_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_changes_leave_exactly_what_a_fresh_build_gives(settings: kb.Settings, docs: Path, tmp_path: Path) -> None:
    ingest.add_source(settings, "default", docs)
    first = ingest.reindex("default", settings)
    assert (first.added, first.generation, first.documents) == (6, 1, 6)
    assert first.embedded == first.chunks > 0

    write(docs, "apple/README.md", page("apricot"))
    write(docs, "grape/README.md", page("grape"))
    (docs / "fig" / "README.md").unlink()
    (docs / "banana").rename(docs / "moved")
    second = ingest.reindex("default", settings)
    assert (second.added, second.changed, second.moved, second.removed, second.unchanged) == (1, 1, 1, 1, 3)
    assert second.reused > 0
    ids, paths = contents(settings)
    assert paths == {f"{t}/README.md" for t in ("apple", "moved", "cherry", "durian", "elderberry", "grape")}
    assert ids == fresh_ids(settings, docs, tmp_path)


def test_nothing_changed_means_nothing_written(settings: kb.Settings, docs: Path) -> None:
    write(docs, "LICENSE", "Apache License Version 2.0 " * 100)
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    base = settings.data_base / "kbs" / "default"
    before = snapshot_of(base / "generations")
    os.utime(docs / "apple" / "README.md")
    report = ingest.reindex("default", settings)
    assert (report.generation, report.embedded, report.unchanged) == (None, 0, 6)
    assert [entry.reason for entry in report.skipped] == ["licence"]
    assert snapshot_of(base / "generations") == before


def test_a_running_app_sees_the_new_generation_and_old_questions_finish_on_the_old(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    base = kb.KnowledgeBase.open("default", settings)
    old = base.snapshot()
    write(docs, "zucchini/README.md", page("zucchini"))
    ingest.reindex("default", settings)
    assert base.search("zucchini").hits[0].path == "zucchini/README.md"
    assert base.search("zucchini").generation == 2
    assert all(hit.path != "zucchini/README.md" for hit in base.search("zucchini", snapshot=old).hits)
    for topic in ("kiwi", "lemon"):
        write(docs, f"{topic}/README.md", page(topic))
        ingest.reindex("default", settings)
    kept = sorted(int(path.name) for path in (base.folder / "generations").iterdir())
    assert kept == [base.snapshot().number - 1, base.snapshot().number]


def test_copies_are_kept_once_and_every_path_is_remembered(settings: kb.Settings, docs: Path) -> None:
    shutil.copy(docs / "apple" / "README.md", docs / "banana" / "COPY.md")
    ingest.add_source(settings, "default", docs)
    report = ingest.reindex("default", settings)
    assert report.documents == 6
    [info] = [info for info in kb.KnowledgeBase.open("default", settings).snapshot().documents() if info.aliases]
    assert {info.path, *info.aliases} == {"apple/README.md", "banana/COPY.md"}
    (docs / "apple" / "README.md").unlink()
    ingest.reindex("default", settings)
    assert "banana/COPY.md" in contents(settings)[1]


def test_two_sources_with_equal_paths_stay_apart(settings: kb.Settings, docs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "docs"
    write(other, "apple/README.md", page("another apple"))
    assert ingest.add_source(settings, "default", docs).name == "docs"
    assert ingest.add_source(settings, "default", other).name == "docs-2"
    ingest.reindex("default", settings)
    infos = kb.KnowledgeBase.open("default", settings).snapshot().documents()
    assert [info.source for info in infos if info.path == "apple/README.md"] == ["docs", "docs-2"]


def test_a_source_that_is_gone_leaves_the_index_as_it_is(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    docs.rename(docs.with_name("away"))
    with pytest.raises(kb.SourceError, match="there is no file or folder"):
        ingest.reindex("default", settings)
    assert len(contents(settings)[1]) == 6


def test_going_back_one_generation(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    with pytest.raises(kb.BaseError, match="no generation before"):
        ingest.go_back("default", settings)
    write(docs, "grape/README.md", page("grape"))
    ingest.reindex("default", settings)
    assert ingest.go_back("default", settings) == 1
    assert "grape/README.md" not in contents(settings)[1]
    assert ingest.reindex("default", settings).generation == 3
    assert "grape/README.md" in contents(settings)[1]


def test_vectors_are_shared_between_knowledge_bases(settings: kb.Settings, docs: Path, tmp_path: Path) -> None:
    ingest.add_source(settings, "default", docs)
    first = ingest.reindex("default", settings)
    shutil.copytree(docs, tmp_path / "copy")
    ingest.add_source(settings, "other", tmp_path / "copy")
    second = ingest.reindex("other", settings)
    assert (second.embedded, second.reused) == (0, first.chunks)


def test_a_paused_source_stays_as_it_is_and_a_removed_one_leaves(settings: kb.Settings, docs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, "zebra.md", page("zebra"))
    ingest.add_source(settings, "default", docs)
    ingest.add_source(settings, "default", other)
    ingest.reindex("default", settings)
    ingest.pause_source(settings, "default", "other")
    write(other, "zebra.md", page("yak"))
    assert ingest.reindex("default", settings).generation is None
    shutil.rmtree(other)
    write(docs, "grape/README.md", page("grape"))
    ingest.reindex("default", settings)
    assert contents(settings)[1] >= {"zebra.md", "grape/README.md"}
    ingest.remove_source(settings, "default", str(other))
    ingest.reindex("default", settings)
    assert "zebra.md" not in contents(settings)[1]
    ingest.remove_source(settings, "default", "docs")
    assert ingest.reindex("default", settings).documents == 0
    with pytest.raises(kb.SourceError, match="no source 'docs'"):
        ingest.pause_source(settings, "default", "docs")


def test_one_writer(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    with locked(settings.data_base / "kbs" / "default"), pytest.raises(kb.BaseError, match=f"process {os.getpid()}"):
        ingest.reindex("default", settings)


def test_leftovers_of_a_crash_are_removed(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    part = settings.data_base / "kbs" / "default" / "generations" / "0001.part"
    write(part, "catalog.db", "half a catalogue")
    ingest.reindex("default", settings)
    assert not part.exists()
    assert len(contents(settings)[1]) == 6


def test_an_incomplete_generation_is_refused_and_mended(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    (generation_folder(settings.data_base / "kbs" / "default", 1) / "manifest.json").unlink()
    with pytest.raises(kb.BaseError, match="python -m ingest"):
        Generation(generation_folder(settings.data_base / "kbs" / "default", 1))
    assert ingest.reindex("default", settings).generation == 2


def test_another_chunk_size_rebuilds_and_says_why(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    report = ingest.reindex("default", settings.model_copy(update={"chunk_chars": 400}))
    assert "chunk_chars was 1000 and is now 400" in report.rebuilt


def test_a_question_with_another_prefix_is_refused_with_both_names(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    other = settings.model_copy(update={"query_prefix": "query: "})
    with pytest.raises(kb.BaseError, match=r"all-MiniLM.*'query: '.*python -m ingest"):
        kb.KnowledgeBase.open("default", other).search("apple")


def test_sources_of_a_source_and_of_the_app_itself_are_refused(settings: kb.Settings, docs: Path) -> None:
    ingest.add_source(settings, "default", docs)
    for path, says in ((docs / "apple", "lies in"), (docs.parent, "lies in"), (docs / "nothing", "not there"),
                       (settings.data_base / "kbs", "its own files")):  # fmt: skip
        with pytest.raises(kb.SourceError, match=says):
            ingest.add_source(settings, "default", path)


def test_the_page_adds_only_what_lies_below_its_roots(settings: kb.Settings, docs: Path, tmp_path: Path) -> None:
    inside = settings.model_copy(update={"source_roots": (docs,)})
    (docs / "out").symlink_to("/etc")
    write(docs, ".ssh/notes.md", "secret")
    assert ingest.add_source_from_page(inside, "default", str(docs / "apple")).name == "apple"
    for text in ("", "/etc", str(docs / "out"), f"{docs}/../elsewhere", str(docs / ".ssh"), "a\0b", "~root", "~nobody-here"):
        with pytest.raises(kb.SourceError):
            ingest.add_source_from_page(inside, "default", text)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", ".hidden", "x" * 200, "a\nb", " a"])
def test_names_that_cannot_be_folders(settings: kb.Settings, docs: Path, name: str) -> None:
    with pytest.raises(kb.BaseError):
        ingest.add_source(settings, name, docs)


def test_the_command_tells_json_and_exit_codes(settings: kb.Settings, docs: Path, tmp_path: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ingest", "--data-base", str(settings.data_base), *args]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    nothing = run()
    assert (nothing.returncode, nothing.stderr.count("\n")) == (1, 1)
    good = run(str(docs), "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["documents"] == 6
    (docs / "broken.ipynb").write_text("{ not json")
    progress = tmp_path / "progress.jsonl"
    bad = run("--list", "--progress", str(progress))
    assert bad.returncode == 3, bad.stderr
    assert "broken.ipynb: cannot be parsed" in bad.stdout
    assert {json.loads(line)["stage"] for line in progress.read_text().splitlines()} >= {"scan", "read", "verify", "publish"}
