"""The arrows of the house: who may import whom, and what may be imported where."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("kb", "ingest", "finetune", "deploy", "eval", "ui")
MAY_IMPORT = {
    "kb": set(),
    "ingest": {"kb"},
    "finetune": {"kb"},
    "deploy": {"kb"},
    "eval": {"kb"},
    "ui": {"kb", "ingest", "finetune", "deploy", "eval"},
}
# Library → the only modules that may import it; an empty set: none may.
ONLY_IN = {
    "gradio": {"ui"},
    "chromadb": {"kb/segment.py", "kb/writer.py"},
    "tantivy": {"kb/lexical.py"},
    "subprocess": {"kb/processes.py", "ingest/load.py", "ingest/git.py"},
    "unstructured": {"ingest"},
    "xtuner": {"finetune/launcher.py"},  # which the tool's own Python runs, and none of ours imports
    "mmengine": {"finetune/launcher.py"},
    "peft": {"finetune/launcher.py"},
    "lmdeploy": set(),
    "opencompass": set(),
}
BANNED = {"pickle", "dill", "joblib", "shelve", "marshal"}


def modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_arrows(path: Path) -> None:
    where = path.relative_to(ROOT).as_posix()
    room = where.split("/")[0]
    for name in imports(path):
        top = name.split(".")[0]
        if top in ROOMS and top != room:
            assert top in MAY_IMPORT[room], f"{where} imports {name}"
        assert name != "finetune.launcher", f"{where} imports what only XTuner's Python can"
        assert top not in BANNED, f"{where} imports {name}"
        if top in ONLY_IN:
            assert any(where == place or where.startswith(f"{place}/") for place in ONLY_IN[top]), f"{where} imports {name}"


def test_ui_uses_public_names() -> None:
    public = {"kb", "kb.records", "kb.jobs", "kb.serving", "kb.tools", "ingest", "eval", "finetune"}
    for path in (ROOT / "ui").rglob("*.py"):
        for name in imports(path):
            if name.split(".")[0] in ("kb", "ingest", "eval", "finetune"):
                assert name in public, f"{path.name} imports {name}: ui uses the names that kb, ingest and eval export"


@pytest.mark.parametrize("room", ["kb", "ingest", "finetune", "eval"])
def test_no_public_name_is_a_modules(room: str) -> None:
    """`from finetune import plan` would be the function or the module plan, by what was imported before."""
    public = set(importlib.import_module(room).__all__)
    assert public.isdisjoint(path.stem for path in (ROOT / room).glob("*.py"))


def test_importing_the_packages_is_cheap() -> None:
    """`python -m kb --help` within a second: nothing heavy is imported before it is used."""
    import subprocess
    import sys

    heavy = "'torch', 'chromadb', 'gradio', 'pydantic', 'langchain_core', 'numpy'"
    packages = "kb, ingest, eval, finetune, kb.__main__, ingest.__main__, eval.__main__, finetune.__main__"
    code = f"import sys, {packages}; print(sorted({{{heavy}}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_modules_stay_small() -> None:
    for path in modules():
        assert len(path.read_text("utf-8").splitlines()) <= 300, f"{path.relative_to(ROOT)}: split it, or say why here"
