"""The library tab: what is indexed, what is not and why, adding folders, indexing as a job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from kb import BaseError, Job, KBError, SourceError
from kb.records import Source
from ui import job_card, shelves
from ui.board import board
from ui.core import GUIDE, Core
from ui.fields import HERE, MAX_TEXT, linked
from ui.job_tab import JobButtons
from ui.notice import inform, warn
from ui.render import carry, el
from ui.words import Words

SKIP = gr.skip()
TICK = 1.0  # seconds between two looks at a running job
NEW = "default"  # where a folder goes when only the guide is there


class View(NamedTuple):
    """The outputs of the tab's handlers; what is left out stays as it is."""

    kb: Any = SKIP
    totals: Any = SKIP
    sources: Any = SKIP
    documents: Any = SKIP
    reason: Any = SKIP
    skipped: Any = SKIP
    job: Any = SKIP
    seen: Any = SKIP
    timer: Any = SKIP
    index: Any = SKIP
    path: Any = SKIP
    name: Any = SKIP


class LibraryTab:
    """Draws the tab in one language and wires it."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words
        self.buttons = JobButtons(core, words, "library", "ingest")

    def build(self, kb: gr.Dropdown, value: gr.Textbox) -> None:
        """Draw into the present Blocks context; `kb` is the page's choice of knowledge base, `value` that of a clicked link."""
        words = self.words
        seen = gr.State("")  # the job on the card, as "id:state"
        timer = gr.Timer(TICK, active=False)
        with gr.Column(elem_id="library"):
            with gr.Row(elem_id="library-head"):
                totals = board(elem_id="totals")
                index = gr.Button(words("library.reindex"), elem_id="index", variant="primary")
            job = board(elem_id="job")
            board(el("h3", words("library.sources")))
            sources = board(elem_id="base-sources")
            path, name, add, upload = self._adding()
            with gr.Row(elem_classes="shelf-head"):
                board(el("h3", words("library.documents")))
                search = gr.Textbox(
                    label=words("library.search"),
                    placeholder=words("library.search"),
                    show_label=False,
                    container=False,
                    max_lines=1,
                    max_length=MAX_TEXT,
                    elem_id="search",
                )
            documents = board(elem_id="documents")
            with gr.Row(elem_classes="shelf-head"):
                board(el("h3", words("library.skipped")))
                reason = gr.Dropdown(
                    [(words("library.skipped.all"), "")],
                    value="",
                    show_label=False,
                    container=False,
                    label=words("library.skipped.why"),
                    elem_id="reason",
                    filterable=False,
                )
            skipped = board(elem_id="skipped")
        remove, pause = (gr.Button(visible="hidden", elem_id=f"do-{verb}") for verb in ("remove-source", "pause-source"))
        self.view = [kb, totals, sources, documents, reason, skipped, job, seen, timer, index, path, name]
        index.click(self.reindex, [kb], self.view, **HERE)
        gr.on([add.click, path.submit], self.add, [path, name, kb], self.view, **HERE)
        upload.upload(self.upload, [upload, name, kb], self.view, **HERE)
        self.buttons.build(value, [kb], self.view, lambda kb: self._job_view(self._job(kb)))
        remove.click(self.remove, [value, kb], self.view, **HERE)
        pause.click(self.pause, [value, kb], self.view, **HERE)
        timer.tick(self.tick, [kb, seen], self.view, **HERE)
        kb.change(self.refresh, [kb], self.view, **HERE)
        search.change(self.find, [search, kb], [documents], trigger_mode="always_last", **HERE)
        reason.input(self.filter, [reason, kb], [skipped], **HERE)

    def _adding(self) -> tuple[gr.Textbox, gr.Textbox, gr.Button, gr.UploadButton]:
        words, shown = self.words, not self.core.public
        if not shown:
            board(el("p", words("library.add.public"), class_="empty"))
        with gr.Row(elem_id="add", visible=shown):
            path = gr.Textbox(
                label=words("library.add.path"),
                placeholder=words("library.add.hint"),
                max_lines=1,
                max_length=MAX_TEXT,
                elem_id="add-path",
                scale=3,
            )
            name = gr.Textbox(
                label=words("library.add.base"), value=NEW, max_lines=1, max_length=120, elem_id="add-base", scale=1
            )
            add = gr.Button(words("library.add.go"), elem_id="add-go", scale=0)
            upload = gr.UploadButton(words("library.add.upload"), file_count="multiple", size="md", elem_id="add-upload", scale=0)
        return path, name, add, upload

    # Handlers

    def refresh(self, kb: str | None) -> View:
        """The whole tab, from disk."""
        return self._whole(kb)

    def tick(self, kb: str | None, seen: str) -> View:
        """Look at the running job; when it has ended, draw what it made."""
        job = self._job(kb)
        if job_card.mark(job) != seen and not (job and job.alive):
            return self._whole(kb)
        return self._job_view(job)

    def reindex(self, kb: str | None) -> View:
        return self._start(kb) if kb else self._said(self.words("library.nothing"))

    def add(self, path: str, name: str, kb: str | None) -> View:
        """Add a folder to a knowledge base, which is made if need be, and index it."""
        if self.core.public:  # the page hides the form, but anyone can call this
            return self._said(self.words("library.add.public"))
        path = (path or "").strip()
        if not path or len(path) > MAX_TEXT:
            return self._said(self.words("library.add.empty"))
        return self._added(name, kb, lambda into: self.core.add_folder(into, path))

    def upload(self, files: list[str] | None, name: str, kb: str | None) -> View:
        """Keep files that the browser has sent, and index them."""
        if self.core.public:
            return self._said(self.words("library.add.public"))
        if not files or not isinstance(files, list):
            return self._said(self.words("library.add.nothing"))
        sent = [Path(file) for file in files]
        return self._added(name, kb, lambda into: self.core.add_upload(into, sent))

    def _added(self, name: str, kb: str | None, add: Callable[[str], Source]) -> View:
        name = (name or "").strip() or str(kb or "")
        job = self._job(name)
        try:
            source = add(name)
            self.core.reindex(name)
        except KBError as error:
            return self._said(str(error))
        inform(self.words("library.later" if job and job.alive else "library.added", name=source.name))
        return self._whole(name)._replace(kb=gr.Dropdown(choices=self.core.names(), value=name), path="")

    def remove(self, value: str, kb: str | None) -> View:
        """Forget the source whose quoted name is `value`, and take its documents out of the index."""
        if self.core.public:
            return self._said(self.words("library.add.public"))
        try:
            source = self.core.remove_source(str(kb), self._source(value, kb).name)
            self.core.reindex(str(kb))
        except KBError as error:
            return self._said(str(error))
        inform(self.words("library.removed", name=source.name))
        return self._whole(kb)

    def pause(self, value: str, kb: str | None) -> View:
        """Pause the source whose quoted name is `value`, or resume it."""
        if self.core.public:
            return self._said(self.words("library.add.public"))
        try:
            source = self._source(value, kb)
            self.core.pause_source(str(kb), source.name, not source.paused)
        except KBError as error:
            return self._said(str(error))
        return self._whole(kb)

    def find(self, search: str, kb: str | None) -> str:
        snapshot = self._snapshot(kb)
        return carry(shelves.documents(self.words, snapshot.documents() if snapshot else [], (search or "")[:MAX_TEXT]))

    def filter(self, reason: str, kb: str | None) -> str:
        snapshot = self._snapshot(kb)
        return carry(shelves.left_out(self.words, snapshot.skipped() if snapshot else [], reason or ""))

    # What several of them need

    def _said(self, sentence: str) -> View:
        warn(sentence)
        return View()

    def _source(self, value: str, kb: str | None) -> Source:
        for one in self.core.base(kb or "").sources():
            if one.name == linked(value):
                return one
        raise SourceError(self.words("library.gone"))

    def _start(self, kb: str) -> View:
        try:
            if not self.core.base(kb).sources() and self._snapshot(kb) is None:
                return self._said(self.words("library.nothing"))
            running = self._job(kb)
            if running and running.alive:
                inform(self.words("library.busy"))
            self.core.reindex(kb)
        except KBError as error:
            return self._said(str(error))
        return self._whole(kb)

    def _snapshot(self, kb: str | None) -> Any:
        try:
            return self.core.base(kb or "").snapshot()
        except KBError:
            return None  # never indexed: the tab says what to do

    def _job(self, kb: str | None) -> Job | None:
        jobs = self.core.jobs(kb) if kb else []
        return jobs[0] if jobs else None

    def _job_view(self, job: Job | None) -> View:
        alive = bool(job and job.alive)
        return View(
            job=carry(self.buttons.card(job)) if job else "",
            seen=job_card.mark(job),
            timer=gr.Timer(active=alive),
            index=gr.Button(interactive=not alive),
        )

    def _whole(self, kb: str | None) -> View:
        words, snapshot = self.words, self._snapshot(kb)
        try:
            sources = self.core.base(kb or "").sources()
        except BaseError:
            sources = []
        skipped = snapshot.skipped() if snapshot else []
        return self._job_view(self._job(kb))._replace(
            totals=carry(shelves.totals(words, kb or "", snapshot.manifest if snapshot else None)),
            sources=carry(shelves.sources(words, sources, fixed=self.core.public)),
            documents=carry(shelves.documents(words, snapshot.documents() if snapshot else [])),
            reason=gr.Dropdown(choices=shelves.reasons(words, skipped), value=""),
            skipped=carry(shelves.left_out(words, skipped)),
            name=kb if kb in self.core.names() and kb != GUIDE else NEW,
        )
