"""Where the corpora of the benchmarks are, and what several benchmarks do with them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kb.records import Turn

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("KB_BENCH_DATA", ROOT.parent / "shared" / "data"))
CORPUS = DATA / "internlm-docs"
DEV = DATA / "domain-qa" / "dev.jsonl"


def cases() -> list[dict[str, Any]]:
    """The dev questions."""
    return [json.loads(line) for line in DEV.read_text("utf-8").splitlines()]


def turns(case: dict[str, Any]) -> list[Turn]:
    return [Turn(row["role"], row["content"]) for row in case["history"]]


def first_gold(ranked: Sequence[str], gold: Sequence[str]) -> int | None:
    return next((rank for rank, path in enumerate(ranked, start=1) if path in gold), None)
