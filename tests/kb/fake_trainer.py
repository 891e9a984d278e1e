"""A trainer for the trials: it counts iterations, keeps a checkpoint of every fifth, and goes on from the last one.

As a job (`-m tests.kb.fake_trainer`) it runs itself once more as the foreign tool, as finetune runs XTuner. The tool has two
children: one in its group, one in a session of its own with another parent, as a data loader and a stray daemon have.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

SLEEPER = [
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
]


def saved(work: Path) -> int:
    """The iteration of the last checkpoint."""
    try:
        return int((work / "checkpoint").read_text())
    except FileNotFoundError:
        return 0


def train(work: Path, total: int, pause: Path) -> int:
    """The foreign tool."""
    children = [subprocess.Popen(SLEEPER)]
    if os.fork() == 0:  # the daemon's parent ends at once
        daemon = subprocess.Popen(SLEEPER, start_new_session=True)
        (work / "daemon").write_text(str(daemon.pid))
        os._exit(0)
    os.wait()
    n = saved(work)
    with (work / "begun").open("a") as file:
        file.write(f"{n}\n")
    while n < total:
        time.sleep(0.02)
        n += 1
        (work / "iteration").write_text(str(n))
        if n % 5 == 0 or pause.exists():
            (work / "checkpoint.part").write_text(str(n))
            (work / "checkpoint.part").replace(work / "checkpoint")
        if pause.exists():
            break
    for child in children:
        child.kill()
    return 0 if n == total else 4


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--total", type=int, default=40)
    parser.add_argument("--tool", action="store_true")
    parser.add_argument("--progress", type=Path)
    parser.add_argument("--pause", type=Path, default=Path("/nonexistent"))
    args = parser.parse_args()
    if args.tool:
        return train(args.work, args.total, args.pause)
    from kb import jobs

    def tick() -> None:
        if jobs.pause_asked():
            (args.work / "pause").touch()
        with args.progress.open("a") as file:
            file.write(json.dumps({"stage": "train", "done": saved(args.work), "total": args.total}) + "\n")

    (args.work / "pause").unlink(missing_ok=True)
    argv = [sys.executable, __file__, "--tool", "--work", str(args.work), "--total", str(args.total)]
    return jobs.run_tool([*argv, "--pause", str(args.work / "pause")], cwd=args.work, tick=tick, every=0.05)


if __name__ == "__main__":
    sys.exit(main())
