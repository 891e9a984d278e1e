"""In place of finetune/launcher.py: the same command line, the same files and exit codes, no learning.

`behave.json` beside the config: {"die_at": N, "nan": true, "say": text, "slow": seconds an iteration}.
"""

import json
import re
import shutil
import sys
import time
from pathlib import Path


def main(argv: list[str]) -> int:
    pause = None
    if argv[0] == "--pause":
        pause, argv = Path(argv[1]), argv[2:]
    tool, args = argv[0], argv[1:]
    if tool == "train":
        return train(Path(args[0]), Path(args[2]), Path(args[4]) if "--resume" in args else None, pause)
    into = Path(args[2])
    into.mkdir()
    if tool == "pth_to_hf":
        (into / "adapter_config.json").write_text(json.dumps({"r": 16, "target_modules": ["q_proj"]}))
        (into / "adapter_model.safetensors").write_bytes(b"")
    else:
        for path in Path(args[0]).iterdir():
            if path.name != "card.json":
                shutil.copy(path, into)
        (into / "config.json").write_text("as another version of the libraries writes it")
    return 0


def train(config: Path, work: Path, resume: Path | None, pause: Path | None) -> int:
    text = config.read_text("utf-8")
    total, every = (int(re.search(rf"^{name} = (\d+)", text, re.MULTILINE)[1]) for name in ("max_iters", "save_steps"))
    behave = json.loads((config.parent / "behave.json").read_text()) if (config.parent / "behave.json").exists() else {}
    began = int(resume.stem.removeprefix("iter_")) if resume else 0
    folder = work / time.strftime(f"%Y%m%d_{began:06}") / "vis_data"
    folder.mkdir(parents=True)
    for at in range(began + 1, total + 1):
        time.sleep(behave.get("slow", 0))
        if at % 10 == 0:
            row = {"iter": at, "loss": 1 / at, "lr": 0.1, "grad_norm": float("nan") if behave.get("nan") else 1.0}
            with (folder / "scalars.json").open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"mmengine - INFO - Iter(train) [{at:3}/{total}]  lr: 0.1", flush=True)
        paused = pause is not None and pause.exists()
        if at % every == 0 or at == total or paused:
            (work / f"iter_{at}.pth").write_bytes(b"weights")
            (work / "last_checkpoint").write_text(str(work / f"iter_{at}.pth"))
        if paused:
            return 4
        if at == behave.get("die_at"):
            (work / f"iter_{at}.pth").write_bytes(b"half of the wei")
            print(behave.get("say", ""), flush=True)
            return behave.get("code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
