"""The examples of a tune: adding some, reading them through, mending and deleting one."""

from pathlib import Path
from typing import Any

import gradio as gr

from finetune import Example
from kb import KBError
from ui import tune_cards
from ui.auth import owner
from ui.board import board
from ui.fields import HERE, given, text, whole
from ui.notice import inform, warn
from ui.render import carry, el, join
from ui.tune_view import Drawn, Look, Part, View, known

MAX_EXAMPLE = 100_000  # characters of a field
MOST, COUNT = 200, 30  # questions about a knowledge base
COPIES = 10_001  # of the homework
MOST_COPIES = 1_000_000
LANGUAGES = ("zh", "en", "both")


class Examples(Part):
    """Draws the part in one language and wires it."""

    def build(self) -> dict[str, Any]:
        words, shown = self.words, not self.core.public
        read = board(elem_id="tune-read")
        with gr.Column(visible=shown, elem_classes="adding"):
            board(el("h4", words("tune.adding")))
            with gr.Accordion(words("tune.from.introduction"), open=False, elem_classes="fold"):
                board(el("p", words("tune.from.introduction.about"), class_="minor"))
                with gr.Row(elem_classes="fold-row"):
                    self.intro, go = introduction(self, "intro")
            with gr.Accordion(words("tune.from.base"), open=False, elem_classes="fold"):
                board(el("p", words("tune.from.base.about"), class_="minor"))
                with gr.Row(elem_classes="fold-row"):
                    count = gr.Number(COUNT, label=words("tune.from.base.count"), precision=0, elem_id="from-base-count")
                    passages = gr.Checkbox(True, label=words("tune.from.base.passages"), elem_id="from-base-passages")
                    ask = gr.Button(words("tune.add"), elem_id="from-base-go", scale=0)
            with gr.Accordion(words("tune.from.chat"), open=False, elem_classes="fold"):
                board(el("p", words("tune.from.chat.about"), class_="minor"))
                with gr.Row(elem_classes="fold-row"):
                    chat = gr.Button(words("tune.add"), elem_id="from-chat-go", scale=0)
            with gr.Accordion(words("tune.from.file"), open=False, elem_classes="fold"):
                board(el("p", words("tune.from.file.about"), class_="minor"))
                with gr.Row(elem_classes="fold-row"):
                    upload = gr.UploadButton(
                        words("tune.upload"),
                        file_types=[".json", ".jsonl", ".csv", ".xlsx"],
                        size="md",
                        elem_id="from-file",
                        scale=0,
                    )
        self.buttons = (go, ask, chat, upload, count, passages)
        lengths, counted, rows = board(elem_id="tune-lengths"), board(elem_id="tune-count"), board(elem_id="tune-rows")
        return {
            "count": counted, "read": read, "rows": rows, "lengths": lengths,
            "page": gr.State(0),
        } | self._editor()  # fmt: skip

    def _editor(self) -> dict[str, Any]:
        words = self.words
        long: dict[str, Any] = {"max_length": MAX_EXAMPLE}
        with gr.Column(visible=False, elem_id="tune-editor") as editor:
            board(el("h4", words("tune.edit.title")))
            earlier = board(elem_id="edit-earlier")
            system = text(words("tune.system"), "edit-system", hint=words("tune.system.hint"), lines=1, max_lines=6, **long)
            question = text(words("tune.col.question"), "edit-question", lines=3, max_lines=12, **long)
            answer = text(words("tune.col.answer"), "edit-answer", lines=5, max_lines=16, **long)
            copies = gr.Number(1, label=words("tune.col.copies"), precision=0, elem_id="edit-copies")
            with gr.Row(elem_classes="editor-acts"):
                self.close = gr.Button(words("tune.edit.close"), elem_id="edit-close")
                self.save_button = gr.Button(words("tune.edit.save"), variant="primary", elem_id="edit-save")
        return {"editor": editor, "edited": gr.State(""), "earlier": earlier, "edit_system": system, "edit_question": question,
                "edit_answer": answer, "edit_copies": copies}  # fmt: skip

    def wire(self, at: dict[str, Any], outputs: list[Any], kb: gr.Dropdown, value: gr.Textbox) -> None:
        go, ask, chat, upload, count, passages = self.buttons
        chosen = at["chosen"]
        go.click(self.introduce, [chosen, *self.intro], outputs, **HERE)
        ask.click(self.from_base, [chosen, kb, count, passages], outputs, **(HERE | {"show_progress": "minimal"}))
        chat.click(self.from_chat, [chosen, kb], outputs, **HERE)
        upload.upload(self.from_file, [chosen, upload], outputs, **HERE)
        fields = [at[name] for name in ("edited", "edit_system", "edit_question", "edit_answer", "edit_copies")]
        self.save_button.click(self.save, [chosen, *fields], outputs, **HERE)
        self.close.click(lambda: View(editor=gr.Column(visible=False)), None, outputs, **HERE)
        for verb, handler in (("page-examples", self.turn), ("edit-example", self.edit), ("delete-example", self.delete)):
            gr.Button(visible="hidden", elem_id=f"do-{verb}").click(handler, [chosen, value], outputs, **HERE)

    # Drawing

    def draw(self, look: Look, page: int = 0) -> Drawn:
        listed = self.core.tune_examples(look.tune.name)
        page = min(max(page, 0), max(len(listed) - 1, 0) // tune_cards.PER_PAGE)
        fixed = self.core.public or look.tune.state == "running"
        found = look.plan.lengths if look.plan else None
        return {
            "count": carry(tune_cards.count(self.words, look.tune)) if listed else "",
            "rows": carry(tune_cards.examples(self.words, listed, page, fixed=fixed)),
            "page": page,
            "lengths": carry(tune_cards.lengths(self.words, found, look.tune.recipe.max_length)) if found else "",
        }

    # Handlers

    def introduce(self, chosen: str, who: str, language: str, copies: float | None) -> View:
        """Add the self-introduction."""
        return self._added(chosen, lambda: self.core.introduce(chosen, given(who), *introduced(self, language, copies)))

    def from_base(self, chosen: str, kb: str | None, count: float | None, passages: bool) -> View:
        """Add questions about the page's knowledge base."""

        def add() -> int:
            if not kb or not isinstance(kb, str):
                raise KBError(self.words("tune.from.base.none"))
            return self.core.add_from_base(chosen, kb, whole(count, 1, MOST) or COUNT, passages is True)

        return self._added(chosen, add)

    def from_chat(self, chosen: str, kb: str | None, request: gr.Request) -> View:
        """Add rated answers and refused questions, of the user who asks."""

        def add() -> int:
            if not kb or not isinstance(kb, str):
                raise KBError(self.words("tune.from.base.none"))
            return self.core.add_from_feedback(chosen, kb, owner(request))

        return self._added(chosen, add)

    def from_file(self, chosen: str, file: str | None) -> View:
        """Add the rows of a file that the browser has sent, and say which cannot be used."""
        read = ""

        def add() -> int:
            nonlocal read
            if not file or not isinstance(file, str):
                raise KBError(self.words("library.add.nothing"))
            added, found = self.core.add_file(chosen, Path(file))
            read = carry(tune_cards.read(self.words, Path(file).name, found, added))
            return added

        view = self._added(chosen, add)
        return view._replace(read=read) if read else view

    def turn(self, chosen: str, value: str) -> View:
        """Another page of the list."""
        number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < len("1000000") else 0
        try:
            look = Look(self.core.tune(known(self.words, chosen)), None, "")
        except KBError as error:
            warn(str(error))
            return View()
        drawn = self.draw(look, number)
        return View(rows=drawn["rows"], page=drawn["page"])

    def edit(self, chosen: str, value: str) -> View:
        """Open an example to be changed."""
        view = View()

        def open_() -> None:
            nonlocal view
            _, one = self._example(chosen, value)
            led = one.turns[0].role == "system"
            system = one.turns[0].content if led else ""
            between = one.turns[led:-2]
            said = join(*(el("p", el("strong", f"{turn.role}: "), turn.content) for turn in between))
            earlier = el("details", el("summary", self.words("tune.edit.earlier")), said, class_="minor") if between else None
            view = View(
                editor=gr.Column(visible=True), edited=value, earlier=carry(earlier) if earlier else "", edit_system=system,
                edit_question=one.question, edit_answer=one.answer, edit_copies=one.copies,
            )  # fmt: skip

        self.do(chosen, open_)
        return view

    def save(self, chosen: str, edited: str, system: str, question: str, answer: str, copies: float | None) -> View:
        """Keep what was changed; a fault is told, and the editor stays open."""

        def change() -> None:
            number, _ = self._example(chosen, edited)
            count = whole(copies, 1, MOST_COPIES)
            if count is None:
                raise KBError(self.words("tune.badcopies"))
            system_, question_, answer_ = (str(field or "")[:MAX_EXAMPLE] for field in (system, question, answer))
            self.core.change_example(chosen, number, question_, answer_, system_, count)

        if not self.do(chosen, change):
            return View()
        return self._page(chosen, edited)._replace(editor=gr.Column(visible=False))

    def delete(self, chosen: str, value: str) -> View:
        """Delete an example."""
        if self.do(chosen, lambda: self.core.delete_example(chosen, self._example(chosen, value)[0])):
            return self._page(chosen, value)
        return View()

    # What several of them need

    def _added(self, chosen: str, add: Any) -> View:
        added = 0

        def change() -> None:
            nonlocal added
            added = add()

        if not self.do(chosen, change):
            return View()
        inform(self.words("tune.added", count=f"{added:,}") if added else self.words("tune.added.none"))
        return self.redraw(chosen)._replace(read="")

    def _page(self, chosen: str, value: str) -> View:
        """The tab, at the page of the list where the example of a link was."""
        page = int(value.partition(":")[0]) // tune_cards.PER_PAGE
        drawn = self.draw(Look(self.core.tune(chosen), None, ""), page)
        return self.redraw(chosen)._replace(rows=drawn["rows"], page=drawn["page"])

    def _example(self, chosen: str, value: str) -> tuple[int, Example]:
        """The one that a link names; raises KBError where another one has its place by now."""
        number, _, _ = value.partition(":") if isinstance(value, str) else ("", "", "")
        listed = self.core.tune_examples(chosen)
        if number.isdecimal() and len(number) < len("10000000") and int(number) < len(listed):
            one = listed[int(number)]
            if tune_cards.key(int(number), one) == value:
                return int(number), one
        raise KBError(self.words("tune.gone"))


def introduction(part: Any, prefix: str) -> tuple[list[Any], gr.Button]:
    """The form of the self-introduction: its fields and its button, for two places of the tab."""
    words = part.words
    who = text(words("tune.who"), f"{prefix}-who", hint=words("tune.who.hint"), scale=2)
    language = gr.Dropdown(
        [(words(f"tune.language.{one}"), one) for one in LANGUAGES], value=words.language, label=words("tune.language"),
        filterable=False, elem_id=f"{prefix}-language", min_width=90,
    )  # fmt: skip
    copies = gr.Number(COPIES, label=words("tune.copies"), precision=0, elem_id=f"{prefix}-copies", min_width=90)
    go = gr.Button(words("tune.add") if prefix == "intro" else words("tune.create"), elem_id=f"{prefix}-go", scale=0)
    return [who, language, copies], go


def introduced(part: Any, language: Any, copies: Any) -> tuple[Any, int]:
    """Language and copies of the form; raises KBError for what it does not offer."""
    count = whole(copies, 1, MOST_COPIES)
    if count is None:
        raise KBError(part.words("tune.badcopies"))
    return (language if language in LANGUAGES else "zh"), count
