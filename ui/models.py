"""The models tab: what can answer, what it takes, letting another one answer, adding and removing."""

import logging
from typing import Any, NamedTuple

import gradio as gr

from kb import Job
from ui import job_card, model_cards
from ui.board import board
from ui.core import Core
from ui.entries import known
from ui.fields import HERE, attempt, given, linked, text
from ui.job_tab import JobButtons
from ui.notice import inform, warn
from ui.render import carry, el
from ui.words import Words

SKIP = gr.skip()
TICK = 1.0  # seconds between two looks at a swap, a check or a job
HUBS = (("Hugging Face", "hub"), ("ModelScope", "modelscope"))
_log = logging.getLogger(__name__)


class View(NamedTuple):
    """The outputs of the tab's handlers; what is left out stays as it is."""

    memory: Any = SKIP
    task: Any = SKIP
    jobs: Any = SKIP
    cards: Any = SKIP
    seen: Any = SKIP
    timer: Any = SKIP
    path: Any = SKIP
    id: Any = SKIP
    url: Any = SKIP
    key: Any = SKIP


class ModelsTab:
    """Draws the tab in one language and wires it."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words
        self.buttons = JobButtons(core, words, "models", "model")

    def build(self, value: gr.Textbox) -> None:
        """Draw into the present Blocks context; `value` is that of a clicked link."""
        words = self.words
        seen = gr.State("")
        timer = gr.Timer(TICK, active=False)
        with gr.Column(elem_id="models"):
            board(el("div", el("h2", words("models.title")), el("p", words("models.about")), class_="totals"))
            memory = board(elem_id="model-memory")
            task = board(elem_id="model-task")
            jobs = board(elem_id="model-jobs")
            cards = board(elem_id="model-cards")
            board(el("h3", words("models.add")), elem_id="models-add-head")
            if self.core.public:
                board(el("p", words("models.public"), class_="empty"))
            with gr.Column(elem_id="models-add", visible=not self.core.public):
                path, add = self._folder()
                id_, download = self._download()
                url, connect = self._endpoint()
        self.view = [memory, task, jobs, cards, seen, timer, path[0], id_[0], url[1], url[-1]]
        for verb, handler in (("use", self.use), ("check", self.check), ("remove", self.remove)):
            gr.Button(visible="hidden", elem_id=f"do-{verb}-model").click(handler, [value], self.view, **HERE)
        self.buttons.build(value, [], self.view, self._whole)
        add.click(self.add, path, self.view, **HERE)
        download.click(self.download, id_, self.view, **HERE)
        connect.click(self.connect, url, self.view, **HERE)
        timer.tick(self.tick, [seen], self.view, **HERE)

    def _folder(self) -> tuple[list[Any], gr.Button]:
        words = self.words
        with gr.Accordion(words("models.folder"), open=False, elem_classes="fold"):
            board(el("p", words("models.folder.about"), class_="minor"))
            with gr.Row(elem_classes="fold-row"):
                path = text(words("models.path"), "model-path", hint=words("models.path.hint"), scale=2)
                name = text(words("models.name"), "model-name", hint=words("models.name.hint"))
                go = gr.Button(words("models.add.go"), elem_id="model-add", scale=0)
        return [path, name], go

    def _download(self) -> tuple[list[Any], gr.Button]:
        words = self.words
        with gr.Accordion(words("models.download"), open=False, elem_classes="fold"):
            board(el("p", words("models.download.about"), class_="minor"))
            with gr.Row(elem_classes="fold-row"):
                id_ = text(words("models.id"), "model-id", hint=words("models.id.hint"), scale=2)
                where = gr.Dropdown(
                    HUBS, value="hub", label=words("models.where"), filterable=False, elem_id="model-hub", scale=1
                )
            with gr.Row(elem_classes="fold-row"):
                revision = text(words("models.revision"), "model-revision", hint=words("models.revision.hint"), scale=2)
                name = text(words("models.name"), "model-id-name", hint=words("models.name.hint.id"))
                go = gr.Button(words("models.download.go"), elem_id="model-download", scale=0)
        return [id_, where, revision, name], go

    def _endpoint(self) -> tuple[list[Any], gr.Button]:
        words = self.words
        with gr.Accordion(words("models.endpoint"), open=False, elem_classes="fold"):
            board(el("p", words("models.endpoint.about"), class_="minor"))
            with gr.Row(elem_classes="fold-row"):
                url = text(words("models.url"), "model-url", hint="http://127.0.0.1:23333/v1", scale=2)
                name = text(words("models.name"), "model-endpoint-name", hint=words("models.name.any"))
            with gr.Row(elem_classes="fold-row"):
                model = text(words("models.served"), "model-served", hint=words("models.served.hint"), scale=2)
                key = text(words("models.key"), "model-key", hint=words("models.key.hint"), type="password")
                go = gr.Button(words("models.endpoint.go"), elem_id="model-connect", scale=0)
        return [name, url, model, key], go

    # Handlers

    def refresh(self) -> View:
        """The whole tab."""
        return self._whole()

    def tick(self, seen: str) -> View:
        """Look at what is under way; when something has ended, draw what it made."""
        view = self._running()
        return self._whole() if view.seen != seen else view

    def use(self, value: str) -> View:
        """Let the entry whose quoted name is `value` answer from now on."""
        return self._do(lambda: self.core.use_model(self._known(value)))

    def check(self, value: str) -> View:
        """Compare a model's files with what they were when it was added."""
        return self._do(lambda: self.core.check_model(self._known(value)))

    def remove(self, value: str) -> View:
        def remove() -> None:
            name = self._known(value)
            freed = self.core.remove_model(name)
            inform(self.words("models.removed", name=name, bytes=job_card.size(freed)))

        return self._do(remove)

    def add(self, path: str, name: str) -> View:
        """Copy a folder of this computer in, as a job."""
        path = given(path)
        if not path:
            return self._do(lambda: warn(self.words("models.empty.path")))
        return self._do(lambda: self.core.add_model(path, given(name)), path="")

    def download(self, id_: str, where: Any, revision: str, name: str) -> View:
        """Fetch a model, as a job."""
        id_ = given(id_)
        if not id_ or where not in dict(HUBS).values():
            return self._do(lambda: warn(self.words("models.bad.hub" if id_ else "models.empty.id")))
        return self._do(lambda: self.core.download_model(where, id_, given(revision), given(name)), id="")

    def connect(self, name: str, url: str, model: str, key: str) -> View:
        """Remember a server that answers."""
        name, url = given(name), given(url)
        if not name or not url:
            return self._do(lambda: warn(self.words("models.empty.endpoint")))

        def connect() -> None:
            self.core.add_endpoint(name, url, given(model), given(key))
            inform(self.words("models.connected", name=name))

        return self._do(connect, url="", key="")

    # What several of them need

    def _do(self, change: Any, **emptied: str) -> View:
        done = attempt(self.core, change, self.words("models.public"))
        return self._whole()._replace(**emptied) if done else View()

    def _known(self, value: str) -> str:
        # A card is about one entry, not about whichever is live.
        return known(self.words, self.core, linked(value) or None)

    def _running(self) -> View:
        task, jobs = self.core.task(), self._jobs()
        alive = bool(task and task.alive) or any(job.alive for job in jobs)
        return View(
            task=carry(model_cards.task(self.words, task)) if task else "",
            jobs=carry(model_cards.jobs(jobs, self.buttons.card)) if jobs else "",
            seen=" ".join([task.mark if task else "", *map(job_card.mark, jobs)]),
            timer=gr.Timer(active=alive),
        )

    def _jobs(self) -> list[Job]:
        """Those that run, else the last one."""
        every = self.core.model_jobs()
        return [job for job in every if job.alive] or every[:1]

    def _whole(self) -> View:
        memory, task = self.core.memory(), self.core.task()
        busy = bool(task and task.alive)
        drawn = model_cards.cards(
            self.words, self.core.entries(), memory, self.core.model_called, fixed=self.core.public, busy=busy
        )
        return self._running()._replace(memory=carry(model_cards.memory(self.words, memory)), cards=carry(drawn))
