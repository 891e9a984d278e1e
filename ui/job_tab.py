"""What the buttons of a job's card do, the same in every tab that shows one."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import gradio as gr

from kb import Job, KBError
from ui import job_card
from ui.core import Core
from ui.fields import HERE
from ui.notice import inform, warn
from ui.render import Html
from ui.words import Words

Verb = Literal["cancel", "pause", "again"]


class JobButtons:
    """Cancel, pause and run again, for jobs of the `kinds` that the tab `tab` shows."""

    def __init__(self, core: Core, words: Words, tab: str, *kinds: str) -> None:
        self.core = core
        self.words = words
        self.tab = tab
        self.kinds = kinds

    def card(self, job: Job) -> Html:
        """With the buttons, unless the page is public."""
        return job_card.card(self.words, job, self.tab, fixed=self.core.public)

    def build(self, value: gr.Textbox, inputs: Sequence[Any], outputs: Sequence[Any], draw: Callable[..., Any]) -> None:
        """Wire them; `draw`, called with the inputs, makes the outputs. `value` is that of a clicked link: the job's id."""
        for verb in get_args(Verb):
            button = gr.Button(visible="hidden", elem_id=f"do-{verb}-{self.tab}")
            button.click(self._handler(verb, draw), [value, *inputs], list(outputs), **HERE)

    def press(self, verb: Verb, id_: str) -> bool:
        """Whether something was done; if not, the user has been told why."""
        try:
            if self.core.public:  # the card has no buttons then, but anyone can call this
                raise KBError(self.words("job.public"))
            job = self._job(id_)
            if verb == "again" and not job.alive:
                self.core.rerun(job.id)
            elif verb == "pause" and job.alive:
                self.core.pause_job(job.id)
                inform(self.words("job.pausing"))
            elif verb == "cancel" and job.alive:
                self.core.cancel(job.id)
            else:
                raise KBError(self.words("job.gone"))
        except KBError as error:
            warn(str(error))
            return False
        return True

    def _handler(self, verb: Verb, draw: Callable[..., Any]) -> Callable[..., Any]:
        def pressed(value: str, *given: Any) -> Any:
            self.press(verb, value)
            return draw(*given)

        return pressed

    def _job(self, id_: str) -> Job:
        job = self.core.job(id_) if isinstance(id_, str) and id_ and "\0" not in id_ else None
        if job is None or job.kind not in self.kinds:
            raise KBError(self.words("job.gone"))
        return job
