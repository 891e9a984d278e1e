"""30 good files and more than 30 nasty ones in one folder: every good one is found, every bad one is indexed rightly or
reported with a sentence, and every file is accounted for."""

from pathlib import Path

import ingest
import kb
from tests.ingest import nasty


def test_every_file_is_indexed_or_reported(data_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    good, bad = nasty.build(folder)
    settings = kb.load_settings(data_base=data_base, load_seconds=20, max_file_mib=1)
    ingest.add_source(settings, "default", folder)
    report = ingest.reindex("default", settings)
    base = kb.KnowledgeBase.open("default", settings)
    infos = base.snapshot().documents()
    catalog = base.snapshot().catalog
    indexed = {state.path for state in catalog.files()} | {path for info in infos for path in (info.path, *info.aliases)}
    reported = {entry.path for entry in report.skipped}
    assert len(good) >= 30
    assert len(bad) >= 30
    for path in good:
        assert path in indexed, f"{path} was not indexed"
        assert path not in reported, [entry for entry in report.skipped if entry.path == path]
    for path in bad:
        pruned = any(entry.endswith("/") and f"{path}/".startswith(entry) for entry in reported)
        assert path in indexed | reported or pruned, f"{path} is neither indexed nor reported"
    for entry in report.skipped:
        assert entry.sentence
        assert "{detail}" not in entry.sentence
        assert "Traceback" not in entry.sentence
    assert ingest.reindex("default", settings).generation is None
