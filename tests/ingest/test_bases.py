"""Knowledge bases are made, renamed, deleted, and carried elsewhere in one file."""

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ingest
import kb
from ingest.__main__ import main
from ingest.lock import locked
from kb.index import verify
from kb.state import State
from tests.fake_embedder import fake_embedder
from tests.ingest.test_build import page, write


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> kb.Settings:
    for module in ("ingest.build", "ingest.portable", "kb.base"):
        monkeypatch.setattr(f"{module}.load_embedder", lambda settings: fake_embedder(settings.embed_model))
    return kb.load_settings(data_base=tmp_path / "data_base", embed_model="fake")


def index_three(settings: kb.Settings, docs: Path) -> None:
    """Three pages in the knowledge base "first", and a file that is left out."""
    for topic in ("apple", "banana", "cherry"):
        write(docs, f"{topic}.md", page(topic))
    write(docs, "LICENSE", "Licence text")
    ingest.add_source(settings, "first", docs)
    ingest.reindex("first", settings)


@pytest.fixture
def filled(settings: kb.Settings, tmp_path: Path) -> kb.KnowledgeBase:
    index_three(settings, tmp_path / "docs")
    return kb.KnowledgeBase.open("first", settings)


def test_made_renamed_and_deleted(settings: kb.Settings, filled: kb.KnowledgeBase, tmp_path: Path) -> None:
    ingest.create_base(settings, "空")
    with pytest.raises(kb.BaseError, match="already"):
        ingest.create_base(settings, "空")
    state = State(settings)
    talk = state.new_conversation("me", "first", "title")
    ids = filled.snapshot().chunk_ids()
    for new in ("空", "first"):
        with pytest.raises(kb.BaseError, match="already"):
            ingest.rename_base(settings, "first", new)
    with locked(filled.folder), pytest.raises(kb.BaseError, match="being indexed"):
        ingest.rename_base(settings, "first", "第二")
    ingest.rename_base(settings, "first", "第二")
    assert set(kb.KnowledgeBase.names(settings)) == {"空", "第二"}
    assert state.live("first") is None
    assert [entry.kb for entry in state.conversations("me")] == ["第二"]
    assert kb.KnowledgeBase.open("第二", settings).snapshot().chunk_ids() == ids
    assert ingest.reindex("第二", settings).generation is None

    ingest.delete_base(settings, "第二")
    assert kb.KnowledgeBase.names(settings) == ["空"]
    assert (state.live("第二"), state.conversations("me")) == (None, [])
    assert (tmp_path / "docs" / "apple.md").exists()
    with pytest.raises(kb.BaseError):
        state.messages(talk, "me")
    with pytest.raises(kb.BaseError, match="no knowledge base"):
        ingest.delete_base(settings, "第二")


def test_a_base_made_again_under_its_name_shows_nothing_of_the_old(
    settings: kb.Settings, filled: kb.KnowledgeBase, tmp_path: Path
) -> None:
    old = filled.snapshot()
    ingest.delete_base(settings, "first")
    write(tmp_path / "other", "zebra.md", page("zebra"))
    ingest.add_source(settings, "first", tmp_path / "other")
    ingest.reindex("first", settings)
    assert old.number == filled.snapshot().number == 1
    assert [info.path for info in filled.snapshot().documents()] == ["zebra.md"]


def test_exported_and_imported_it_is_the_same(settings: kb.Settings, filled: kb.KnowledgeBase, tmp_path: Path) -> None:
    file = tmp_path / "first.zip"
    ingest.export_base(settings, "first", file)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".") or path.suffix == ".part"] == []
    with pytest.raises(kb.BaseError, match="there already"):
        ingest.export_base(settings, "first", file)
    before = filled.snapshot()
    ids, vectors = before.chunk_ids(), before.stored_vectors(sorted(before.chunk_ids()))
    ingest.delete_base(settings, "first")
    shutil.rmtree(tmp_path / "docs")
    report = ingest.import_base(settings, "there", file)
    assert (report.embedded, report.chunks, report.generation) == (0, len(ids), 1)
    there = kb.KnowledgeBase.open("there", settings)
    verify(there.snapshot().folder)
    assert there.snapshot().chunk_ids() == ids
    assert all(
        np.allclose(vector, vectors[id_], atol=1e-6) for id_, vector in there.snapshot().stored_vectors(sorted(ids)).items()
    )
    assert there.search("banana").hits[0].path == "banana.md"
    assert [(entry.path, entry.reason) for entry in there.snapshot().skipped()] == [("LICENSE", "licence")]
    [source] = there.sources()
    assert (source.name, source.paused) == ("docs", True)
    assert ingest.reindex("there", settings).generation is None

    write(tmp_path / "more", "zebra.md", page("zebra"))
    ingest.add_source(settings, "there", tmp_path / "more")
    ingest.reindex("there", settings)
    assert {info.path for info in there.snapshot().documents()} == {"apple.md", "banana.md", "cherry.md", "zebra.md"}
    with pytest.raises(kb.SourceError, match="not on this machine"):
        ingest.reindex("there", settings.model_copy(update={"chunk_chars": 400}))
    with pytest.raises(kb.BaseError, match="already"):
        ingest.import_base(settings, "there", file)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, models: Path) -> dict[str, bytes]:
    """The parts of a good file."""
    home = tmp_path_factory.mktemp("exported")
    (home / "data_base").mkdir()
    (home / "data_base" / "models").symlink_to(models)
    settings = kb.load_settings(data_base=home / "data_base")
    index_three(settings, home / "docs")
    ingest.export_base(settings, "first", home / "good.zip")
    with zipfile.ZipFile(home / "good.zip") as good:
        return {name: good.read(name) for name in good.namelist()}


Change = Callable[[dict[str, bytes]], None]


def _manifest(**changes: object) -> Change:
    def change(parts: dict[str, bytes]) -> None:
        parts["manifest.json"] = json.dumps(json.loads(parts["manifest.json"]) | changes).encode()

    return change


def _sql(*statements: str) -> Change:
    def change(parts: dict[str, bytes]) -> None:
        for statement in statements:
            file = "texts.db" if "chunks" in statement or "texts" in statement else "catalog.db"
            connection = sqlite3.connect(":memory:")
            connection.deserialize(parts[file])
            connection.execute(statement)
            connection.commit()
            parts[file] = connection.serialize()

    return change


def _part(name: str, data: bytes) -> Change:
    return lambda parts: parts.update({name: data})


def _vectors(parts: dict[str, bytes]) -> None:
    parts["vectors.npy"] = parts["vectors.npy"][:128] + bytes(reversed(parts["vectors.npy"][128:]))


@pytest.mark.parametrize(
    "change",
    [
        _manifest(format=99), _manifest(chunks=1), _manifest(chunks="many"), _manifest(report=None), _manifest(pipeline=[]),
        _manifest(fingerprint={"model": "x"}), _part("manifest.json", b"[]"), _part("manifest.json", b"{"),
        _part("extra", b""), _part("sources.json", b"{}"), _part("sources.json", b'[{"name": 1}]'),
        _part("catalog.db", b"no database"), _part("vectors.npy", b"\x80\x04."), _part("vectors.npy", b""), _vectors,
        _sql("CREATE VIEW evil AS SELECT 1"), _sql("CREATE TRIGGER t AFTER INSERT ON files BEGIN SELECT 1; END"),
        _sql("DROP TABLE chunks"), _sql("UPDATE chunks SET id = substr(id, 2)"), _sql("UPDATE chunks SET start = 'x'"),
        _sql("UPDATE texts SET text = x'00'"), _sql("DELETE FROM texts"), _sql("UPDATE documents SET kind = 'exe'"),
        _sql("DELETE FROM documents"), _sql("UPDATE chunks SET heading = '{}'"), _sql("UPDATE skipped SET reason = 'none'"),
        _sql("UPDATE chunks SET text = 'other'"),
        _sql("UPDATE documents SET key = 'x' WHERE key = (SELECT min(key) FROM documents)"),
        _part("texts.db", b"no database"), _sql("UPDATE chunks SET document = (SELECT max(document) FROM texts)"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_right_makes_nothing(
    settings: kb.Settings, exported: dict[str, bytes], tmp_path: Path, change: Change
) -> None:
    parts = dict(exported)
    change(parts)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name, data in parts.items():
            bad.writestr(name, data)
    with pytest.raises(kb.BaseError) as caught:
        ingest.import_base(settings, "there", tmp_path / "bad.zip")
    assert "\n" not in str(caught.value)
    assert not (settings.data_base / "kbs" / "there").exists()
    assert State(settings).live("there") is None


def test_a_file_of_another_model_is_refused_with_both_names(
    settings: kb.Settings, filled: kb.KnowledgeBase, tmp_path: Path
) -> None:
    ingest.export_base(settings, "first", tmp_path / "a.zip")
    with pytest.raises(kb.BaseError, match=r"fake@.*other@"):
        ingest.import_base(settings.model_copy(update={"embed_model": "other"}), "there", tmp_path / "a.zip")
    with pytest.raises(kb.BaseError, match="cannot be imported"):
        ingest.import_base(settings, "there", tmp_path / "nothing.zip")


def test_the_command(settings: kb.Settings, filled: kb.KnowledgeBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*args: str) -> tuple[int, str]:
        code = main(["--data-base", str(settings.data_base), "--embed-model", "fake", *args])
        shown = capsys.readouterr()
        return code, (shown.out + shown.err).strip()

    file = str(tmp_path / "a.zip")
    assert run("--kb", "first", "--export", file) == (0, f"Knowledge base 'first' is in {file}.")
    assert run("--kb", "there", "--import", file)[0] == 0
    assert run("--kb", "there", "--import", file)[0] == 1
    assert run("--kb", "first", "--rename", "second") == (0, "Knowledge base 'first' is now 'second'.")
    assert run("--kb", "empty", "--create")[0] == 0
    code, said = run("--kb", "second", "--delete")
    assert code == 1 and "--yes" in said
    assert run("--kb", "second", "--delete", "--yes")[0] == 0
    assert kb.KnowledgeBase.names(settings) == ["empty", "there"]
