"""An evaluation as a job that the page starts."""

from pathlib import Path

from kb import jobs
from kb.settings import Settings

KIND = "eval"


def evaluate_job(settings: Settings, kb: str, questions_path: Path, model: str = "") -> jobs.Job:
    """Evaluate the knowledge base `kb` in the background; the job that runs already, if one does. Its run is in list_runs().

    `model` is what answers (see kb.serving.entries), "": what does so when it begins.
    """
    if job := jobs.running(settings, kb, KIND):
        return job
    args = ["--kb", kb, "--questions", str(questions_path), "--data-base", str(settings.data_base), f"--model={model}"]
    return jobs.start(settings, KIND, f"Evaluate {kb}", "eval", args, subject=kb)
