"""A small knowledge base and questions about it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ingest
import kb

PAGES = {
    "noodles.md": "# Noodles\n\nBoil the noodles for four minutes in salted water.\n",
    "storage.md": "# Storage\n\nKeep the flour dry and cool, at most twelve months.\n",
    "茶.md": "# 茶\n\n绿茶用八十度的水冲泡两分钟。\n",
}
QUESTIONS: list[dict[str, Any]] = [
    {"id": "noodles", "question": "How long do I boil noodles?", "answer_keys": ["four minutes"], "answers": ["four minutes"],
     "gold": [{"doc_id": "noodles.md", "span": "Boil the **noodles** for\nfour minutes"}]},
    {"id": "flour", "question": "How long can flour be kept dry and cool?", "answer_keys": ["Twelve  months"],
     "gold_doc_ids": ["storage.md"], "gold_spans": [{"text": "at most twelve months"}], "repo": "pantry"},
    {"id": "tea", "question": "绿茶用多少度的水冲泡？", "gold_doc_ids": ["茶.md"], "answers": ["八十度"],
     "answer_keys": ["八十度"]},
    {"id": "off", "question": "Who won the football world cup?", "answerable": False, "category": "off_topic"},
]  # fmt: skip


@pytest.fixture(scope="session")
def kitchen(tmp_path_factory: pytest.TempPathFactory, models: Path) -> kb.Settings:
    """Settings whose data_base holds the knowledge base "kitchen"."""
    home = tmp_path_factory.mktemp("eval")
    (home / "models").symlink_to(models)
    docs = tmp_path_factory.mktemp("pages")
    for name, text in PAGES.items():
        (docs / name).write_text(text, "utf-8")
    settings = kb.load_settings(data_base=home)
    ingest.add_source(settings, "kitchen", docs)
    ingest.reindex("kitchen", settings)
    return settings


@pytest.fixture
def write_questions(tmp_path: Path) -> Callable[..., Path]:
    """Rows (objects, or lines as they are) → a file of them."""

    def write(rows: Sequence[dict[str, Any] | str], name: str = "questions.jsonl") -> Path:
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return path

    return write


@pytest.fixture
def questions(write_questions: Callable[..., Path]) -> Path:
    return write_questions(QUESTIONS)
