"""The models tab: what can answer, what it takes, letting another one answer, adding and removing."""

import logging
from typing import Any, NamedTuple
from urllib.parse import unquote

import gradio as gr

from kb import Job, KBError
from ui import job_card, model_cards
from ui.board import board
from ui.core import Core
from ui.entries import known
from ui.job_tab import JobButtons
from ui.notice import inform, warn
from ui.render import carry, el
from ui.words import Words

SKIP = gr.skip()
TICK = 1.0  # seconds between two looks at a swap, a check or a job
MAX_TEXT = 1000
HUBS = (("Hugging Face", "hub"), ("ModelScope", "modelscope"))
_HERE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
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
            gr.Button(visible="hidden", elem_id=f"do-{verb}-model").click(handler, [value], self.view, **_HERE)
        self.buttons.build(value, [], self.view, self._whole)
        add.click(self.add, path, self.view, **_HERE)
        download.click(self.download, id_, self.view, **_HERE)
        connect.click(self.connect, url, self.view, **_HERE)
        timer.tick(self.tick, [seen], self.view, **_HERE)

    def _folder(self) -> tuple[list[Any], gr.Button]:
        words = self.words
        with gr.Accordion(words("models.folder"), open=False, elem_classes="fold"):
            board(el("p", words("models.folder.about"), class_="minor"))
            with gr.Row(elem_classes="fold-row"):
                path = _text(words("models.path"), words("models.path.hint"), "model-path", scale=2)
                name = _text(words("models.name"), words("models.name.hint"), "model-name")
                go = gr.Button(words("models.add.go"), elem_id="model-add", scale=0)
        return [path, name], go

    def _download(self) -> tuple[list[Any], gr.Button]:
        words = self.words
        with gr.Accordion(words("models.download"), open=False, elem_classes="fold"):
            board(el("p", words("models.download.about"), class_="minor"))
            with gr.Row(elem_classes="fold-row"):
                id_ = _text(words("models.id"), words("models.id.hint"), "model-id", scale=2)
                where = gr.Dropdown(
                    HUBS, value="hub", label=words("models.where"), filterable=False, elem_id="model-hub", scale=1
                )
            with gr.Row(elem_classes="fold-row"):
                revision = _text(words("models.revision"), words("models.revision.hint"), "model-revision", scale=2)
                name = _text(words("models.name"), words("models.name.hint.id"), "model-id-name")
                go = gr.Button(words("models.download.go"), elem_id="model-download", scale=0)
        return [id_, where, revision, name], go

    def _endpoint(self) -> tuple[list[Any], gr.Button]:
        words = self.words
        with gr.Accordion(words("models.endpoint"), open=False, elem_classes="fold"):
            board(el("p", words("models.endpoint.about"), class_="minor"))
            with gr.Row(elem_classes="fold-row"):
                url = _text(words("models.url"), "http://127.0.0.1:23333/v1", "model-url", scale=2)
                name = _text(words("models.name"), words("models.name.any"), "model-endpoint-name")
            with gr.Row(elem_classes="fold-row"):
                model = _text(words("models.served"), words("models.served.hint"), "model-served", scale=2)
                key = _text(words("models.key"), words("models.key.hint"), "model-key", kind="password")
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
        path = _given(path)
        if not path:
            return self._do(lambda: warn(self.words("models.empty.path")))
        return self._do(lambda: self.core.add_model(path, _given(name)), path="")

    def download(self, id_: str, where: Any, revision: str, name: str) -> View:
        """Fetch a model, as a job."""
        id_ = _given(id_)
        if not id_ or where not in dict(HUBS).values():
            return self._do(lambda: warn(self.words("models.bad.hub" if id_ else "models.empty.id")))
        return self._do(lambda: self.core.download_model(where, id_, _given(revision), _given(name)), id="")

    def connect(self, name: str, url: str, model: str, key: str) -> View:
        """Remember a server that answers."""
        name, url = _given(name), _given(url)
        if not name or not url:
            return self._do(lambda: warn(self.words("models.empty.endpoint")))

        def connect() -> None:
            self.core.add_endpoint(name, url, _given(model), _given(key))
            inform(self.words("models.connected", name=name))

        return self._do(connect, url="", key="")

    # What several of them need

    def _do(self, change: Any, **emptied: str) -> View:
        if self.core.public:  # the page draws no buttons then, but anyone can call this
            warn(self.words("models.public"))
            return View()
        try:
            change()
        except KBError as error:
            warn(str(error))
            return View()
        return self._whole()._replace(**emptied)

    def _known(self, value: str) -> str:
        name = unquote(value) if isinstance(value, str) else ""
        return known(self.words, self.core, name or None)  # a card is about one entry, not about whichever is live

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


def _text(label: str, hint: str, elem_id: str, *, scale: int = 1, kind: Any = "text") -> gr.Textbox:
    return gr.Textbox(
        label=label, placeholder=hint, max_lines=1, max_length=MAX_TEXT, type=kind, elem_id=elem_id, scale=scale, min_width=120
    )


def _given(text: Any) -> str:
    return text.strip()[:MAX_TEXT] if isinstance(text, str) else ""
