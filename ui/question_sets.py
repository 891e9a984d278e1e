"""The question sets of the Evaluate tab: sending one, and making one from the documents."""

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from eval import Case
from kb import KBError
from ui import report
from ui.board import board
from ui.core import Core
from ui.fields import HERE
from ui.notice import inform, warn
from ui.render import carry, code, el
from ui.words import Words

SKIP = gr.skip()
COUNT, MOST = 40, 200  # questions to make
MAX_TEXT = 4000
BETWEEN = " | "  # of the answer keys of one question
_COLUMNS = ("evaluate.keep", "evaluate.question", "evaluate.keys", "evaluate.document", "evaluate.passage")
_EXAMPLE = """{"id": "1", "question": "When is it closed?", "gold": [{"doc_id": "rules.md", "span": "closed on Sundays"}], \
"answer_keys": ["Sunday"]}
{"id": "2", "question": "明天会下雨吗？", "answerable": false}"""


class View(NamedTuple):
    """The outputs of the handlers; what is left out stays as it is."""

    sets: Any = SKIP
    problems: Any = SKIP
    name: Any = SKIP
    rows: Any = SKIP
    save: Any = SKIP
    made_name: Any = SKIP


class QuestionSets:
    """Draws the two folded parts in one language and wires them."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words

    def build(self, kb: gr.Dropdown, sets: gr.Dropdown) -> None:
        """Draw into the present Blocks context; `sets` is the choice of question set, which turns to what was added."""
        words = self.words
        with gr.Accordion(words("evaluate.add"), open=False, elem_id="eval-add"):
            board(el("div", el("p", words("evaluate.format"), class_="minor"), code(_EXAMPLE)))
            with gr.Row(elem_classes="eval-row"):
                name = _text(words("evaluate.name"), words("evaluate.name.hint"), "eval-name")
                upload = gr.UploadButton(
                    words("evaluate.upload"), file_types=[".jsonl"], size="md", elem_id="eval-upload", scale=0
                )
            problems = board(elem_id="eval-problems")
        with gr.Accordion(words("evaluate.make"), open=False, elem_id="eval-make"):
            board(el("p", words("evaluate.make.about"), class_="minor"))
            with gr.Row(elem_classes="eval-row"):
                count = gr.Number(
                    COUNT, label=words("evaluate.count"), precision=0, minimum=1, maximum=MOST, elem_id="make-count"
                )
                language = gr.Dropdown(
                    [(words("evaluate.both"), "both"), (words("evaluate.en"), "en"), (words("evaluate.zh"), "zh")],
                    value="both",
                    label=words("evaluate.language"),
                    filterable=False,
                    elem_id="make-language",
                )
                make = gr.Button(words("evaluate.make.go"), elem_id="make-go", scale=0)
            rows = gr.Dataframe(
                headers=[words(key) for key in _COLUMNS],
                datatype=["bool", "str", "str", "str", "str"],
                type="array",
                column_widths=["124px", "340px", "150px", "160px", "300px"],
                interactive=True,
                visible=False,
                wrap=True,
                buttons=[],
                max_height=420,
                show_label=False,
                elem_id="made",
            )
            with gr.Row(elem_classes="eval-row", visible=False) as save:
                made_name = _text(words("evaluate.name"), "", "made-name")
                go = gr.Button(words("evaluate.save"), elem_id="made-save", scale=0)
        view = [sets, problems, name, rows, save, made_name]
        upload.upload(self.upload, [upload, name], view, **HERE)
        make.click(self.make, [kb, count, language], view, **HERE)
        gr.on([go.click, made_name.submit], self.save, [rows, made_name], view, **HERE)

    # Handlers

    def upload(self, file: str | None, name: str) -> View:
        """Keep a file that the browser has sent; rows that cannot be used are told."""
        if self.core.public:  # the page hides nothing of this from somebody who calls it
            return _said(self.words("evaluate.public"))
        if not file or not isinstance(file, str):
            return _said(self.words("library.add.nothing"))
        name = str(name or "").strip()[:MAX_TEXT] or Path(file).stem
        try:
            asked = self.core.keep_questions(Path(file), name)
        except KBError as error:
            return _said(str(error))
        inform(self.words("evaluate.kept", count=len(asked.cases), name=name))
        told = report.problems(self.words, asked.problems)
        return View(sets=self.choices(name), problems=carry(told) if told else "", name="")

    def make(self, kb: str | None, count: float | None, language: str) -> View:
        """Questions out of the documents, to be read and mended."""
        if not kb:
            return _said(self.words("evaluate.nokb"))
        try:
            made = self.core.make_questions(kb, min(int(count or COUNT), MOST), language)
        except KBError as error:
            return _said(str(error))
        rows = [
            [
                True,
                case.question,
                BETWEEN.join(case.answer_keys),
                case.gold_doc_ids[0],
                "".join(span for _, span in case.gold_spans),
            ]
            for case in made
        ]
        return View(rows=gr.Dataframe(value=rows, visible=True), save=gr.Row(visible=True))

    def save(self, rows: Any, name: str) -> View:
        """Keep the rows that are wanted as a set."""
        if self.core.public:
            return _said(self.words("evaluate.public"))
        try:
            cases = self._cases(rows if isinstance(rows, list) else [])
            self.core.save_questions(str(name or "")[:MAX_TEXT], cases)
        except KBError as error:
            return _said(str(error))
        name = str(name).strip().removesuffix(".jsonl").strip()
        inform(self.words("evaluate.kept", count=len(cases), name=name))
        return View(sets=self.choices(name), made_name="")

    def choices(self, value: str | None) -> gr.Dropdown:
        """The choice of question sets, at `value` if there is one of that name."""
        sets = self.core.question_sets()
        named = [(self.words("evaluate.shipped", name=one.name) if one.shipped else one.name, one.name) for one in sets]
        names = [one.name for one in sets]
        wanted = str(value or "").removesuffix(".jsonl")
        return gr.Dropdown(choices=named, value=wanted if wanted in names else names[0])

    def _cases(self, rows: list[Any]) -> list[Case]:
        cases = []
        for number, row in enumerate(rows, start=1):
            keep, *texts = row if isinstance(row, list) and len(row) == len(_COLUMNS) else [False] * len(_COLUMNS)
            if keep is not True and str(keep).lower() != "true":
                continue
            question, keys, document, span = (str(text or "").strip()[:MAX_TEXT] for text in texts)
            if not question:
                raise KBError(self.words("evaluate.badrows", row=number))
            cases.append(
                Case(
                    id=str(number),
                    question=question,
                    lang="",  # read_cases() sees it
                    gold_doc_ids=(document,) if document else (),
                    gold_spans=((document, span),) if span else (),
                    answer_keys=tuple(key for part in keys.split("|") if (key := part.strip())),
                )
            )
        return cases


def _text(label: str, placeholder: str, elem_id: str) -> gr.Textbox:
    return gr.Textbox(label=label, placeholder=placeholder, max_lines=1, max_length=100, elem_id=elem_id)


def _said(sentence: str) -> View:
    warn(sentence)
    return View()
