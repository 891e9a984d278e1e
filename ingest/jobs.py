"""The ingestion as a job that the page starts."""

from kb import jobs
from kb.settings import Settings

KIND = "ingest"


def reindex_job(settings: Settings, name: str) -> jobs.Job:
    """Re-index the knowledge base `name` in the background; the job that runs already, if one does."""
    if job := jobs.running(settings, name, KIND):
        return job
    args = ["--kb", name, "--data-base", str(settings.data_base)]
    return jobs.start(settings, KIND, f"Index {name}", "ingest", args, subject=name)
