"""Adding and fetching a model as jobs that the page starts. A job that was cut short is started again the same way."""

from pathlib import Path

from kb import jobs, models
from kb.hub_lists import Source, check_repo
from kb.settings import Settings

KIND = "model"


def add_model_job(settings: Settings, folder: Path, name: str = "") -> jobs.Job:
    """Add the model in `folder` in the background; the job that runs already, if one does.

    Raises:
        ModelError: the name cannot be a model's.
    """
    folder = folder.expanduser().resolve()
    name = name or folder.name
    return _job(settings, f"Add {name}", ["models", "add", str(folder)], name)


def download_model_job(settings: Settings, repo: str, *, revision: str = "", source: Source = "hub", name: str = "") -> jobs.Job:
    """Fetch the model `repo` in the background; the job that runs already, if one does.

    Raises:
        ModelError: `repo` or the name cannot be a model's.
    """
    check_repo(repo)
    name = name or repo.rpartition("/")[2]
    return _job(settings, f"Download {repo}", ["models", "download", repo, f"--source={source}", f"--revision={revision}"], name)


def _job(settings: Settings, title: str, args: list[str], name: str) -> jobs.Job:
    models.model_folder(settings, name)
    if job := jobs.running(settings, name, KIND):
        return job
    return jobs.start(settings, KIND, title, "kb", [*args, f"--name={name}", f"--data-base={settings.data_base}"], subject=name)
