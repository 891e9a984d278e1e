"""The command lines of the tool: what runs, exactly, and in which environment."""

import shlex
from pathlib import Path

from finetune.device import device
from finetune.tunes import ADAPTER, CONFIG, WORK
from kb.models import Card, get_model, model_folder, part_folder
from kb.settings import Settings
from kb.tools import tool

LAUNCHER = Path(__file__).with_name("launcher.py")
TOOL, PAUSE = "xtuner", "pause"
_SMALL = 50_000_000  # parameters of a model that several threads only hold up


def train_argv(python: Path, folder: Path, resume: Path | None) -> list[str]:
    """`resume`: the checkpoint that it goes on from."""
    argv = [
        str(python),
        str(LAUNCHER),
        "--pause",
        str(folder / PAUSE),
        "train",
        str(folder / CONFIG),
        "--work-dir",
        str(folder / WORK),
    ]
    return argv + (["--resume", str(resume)] if resume else [])


def adapter_argv(python: Path, folder: Path, checkpoint: Path, into: Path) -> list[str]:
    """float32, as it was learned: it is merged once, and small."""
    return [
        str(python),
        str(LAUNCHER),
        "pth_to_hf",
        str(folder / CONFIG),
        str(checkpoint),
        str(into),
        "--fp32",
        "--safe-serialization",
    ]


def merge_argv(python: Path, base: Path, adapter: Path, into: Path) -> list[str]:
    """In shards of 2 GB, on the device that trains."""
    return [str(python), str(LAUNCHER), "merge", str(base), str(adapter), str(into), "--max-shard-size", "2GB",
            "--safe-serialization", "--device", device().kind]  # fmt: skip


def environment(folder: Path, card: Card) -> dict[str, str]:
    """Offline, its caches in the tune's folder; a checkpoint of our own may hold more than tensors (what it resumes by)."""
    cache = str(folder / WORK / "cache")
    found = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": cache,
             "HF_DATASETS_CACHE": f"{cache}/datasets", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
             "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1",
             "MKL_SERVICE_FORCE_INTEL": "1", "MKL_THREADING_LAYER": "GNU"}  # fmt: skip
    return found | ({"OMP_NUM_THREADS": "1"} if card.parameters < _SMALL else {})


def command_lines(settings: Settings, folder: Path, base: str) -> tuple[str, ...]:
    """Train, convert, merge: for eyes."""
    get_model(settings, base)
    python = tool(settings, TOOL).python
    checkpoint, into = folder / WORK / "iter_N.pth", part_folder(settings, folder.name)
    lines = (
        train_argv(python, folder, None),
        adapter_argv(python, folder, checkpoint, folder / ADAPTER),
        merge_argv(python, model_folder(settings, base), folder / ADAPTER, into),
    )
    return tuple(map(shlex.join, lines))
