"""Several answers from one model at once: every step gives each of them its next token, and a new one joins between two steps.

A prompt is read by itself, in parts, with a step of the others between two parts. Then its keys and values stand beside those of
the others, padded on the left: positions are told to the model row by row, so a row's tokens are those it would have had alone.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kb.errors import ModelError

if TYPE_CHECKING:
    import torch

_PART = 1024  # tokens of a prompt that are read between two steps
_IDLE = 5.0  # seconds without work after which the thread ends, and with it its hold on the model


@dataclass(eq=False, slots=True)
class Request:
    """A prompt, and what becomes of it: `put` is called on the engine's thread with each token, then None, or a ModelError."""

    ids: Sequence[int]
    most: int
    stops: frozenset[int]
    put: Callable[[int | ModelError | None], None]
    temperature: float = 0.0
    top_p: float = 1.0
    closed: bool = False  # set by whoever asked, from any thread: nobody waits for more
    made: int = field(default=0, init=False)
    last: int = field(default=0, init=False)

    @property
    def length(self) -> int:
        """Tokens whose keys and values are kept once the last one has been read."""
        return len(self.ids) + self.made


class Engine:
    """The one thread that a model's steps run on. `room`: tokens whose keys and values fit in memory, over all rows."""

    def __init__(self, model: Any, room: int, most_rows: int = 32) -> None:
        self._model = model
        self._room = room
        self._most_rows = most_rows
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._rows: list[Request] = []
        self._cache: Any = None  # a DynamicCache of the rows, or None
        self._joining: tuple[Request, Any, int] | None = None  # a prompt half read: its cache, and how much of it

    def submit(self, request: Request) -> None:
        """Let a request join the running ones. Raises ModelError after close()."""
        with self._changed:
            if self._closed:
                raise ModelError("The model has been taken out of memory: ask again.")
            self._waiting.append(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="model", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread and let go of the model. Whoever still waits is told so."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._model = self._cache = self._joining = None

    def _run(self) -> None:
        import torch

        with torch.inference_mode():
            while self._work_to_do():
                try:
                    self._join()
                    self._step()
                except Exception as error:  # of the whole step: out of memory, or a mistake; told to all who are part of it
                    self._fail(error)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # keys and values of what was answered: others may have that memory until the next question

    def _work_to_do(self) -> bool:
        end = time.monotonic() + _IDLE
        with self._changed:
            while not (self._closed or self._waiting or self._rows or self._joining):
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            if not self._closed and (self._waiting or self._rows or self._joining):
                return True
            if self._closed:
                self._dismiss()
            else:
                self._thread = None  # under the lock: who asks from now on starts another one
            return False

    def _dismiss(self) -> None:
        for request in (*self._rows, *self._waiting, *((self._joining[0],) if self._joining else ())):
            request.put(ModelError("The model was taken out of memory in the middle of an answer: ask again."))
        self._rows.clear()
        self._waiting.clear()

    def _join(self) -> None:
        """Read the next part of a prompt; if that is its last one, its answer begins."""
        import torch
        from transformers import DynamicCache

        if self._joining is None:
            request = self._next()
            if request is None:
                return
            self._joining = request, DynamicCache(), 0
        request, cache, read = self._joining
        if request.closed:
            self._joining = None
            return
        part = request.ids[read : read + _PART]
        ids = torch.tensor([list(part)], device=self._model.device)
        try:
            output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        except Exception as error:  # this prompt's alone: the others go on
            self._joining = None
            request.put(ModelError(_sentence(error)))
            return
        self._joining = request, cache, read + len(part)
        if read + len(part) < len(request.ids):
            return
        self._joining = None
        if self._give([request], output.logits[:, -1]):
            self._cache = cache if self._cache is None else self._beside(cache, len(request.ids))
            self._rows.append(request)

    def _next(self) -> Request | None:
        """The one that waited longest, if there is room for it; alone it is let in whatever it needs."""
        with self._changed:
            while self._waiting and self._waiting[0].closed:
                self._waiting.popleft()
            if not self._waiting or len(self._rows) >= self._most_rows:
                return None
            widest = max(len(one.ids) + one.most for one in (*self._rows, self._waiting[0]))
            if self._rows and widest * (len(self._rows) + 1) > self._room:
                return None
            return self._waiting.popleft()

    def _step(self) -> None:
        """One token for each row. Those that nobody waits for any more leave first."""
        import torch

        self._keep([row for row in self._rows if not row.closed])
        if not self._rows:
            return
        device, width = self._model.device, self._cache.get_seq_length() + 1
        lengths = torch.tensor([row.length for row in self._rows], device=device)
        mask = None
        if any(row.length < width for row in self._rows):
            mask = (torch.arange(width, device=device)[None] >= (width - lengths)[:, None]).long()
        output = self._model(
            input_ids=torch.tensor([[row.last] for row in self._rows], device=device),
            attention_mask=mask,
            position_ids=(lengths - 1)[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._keep(self._give(self._rows, output.logits[:, -1]))

    def _give(self, requests: list[Request], logits: "torch.Tensor") -> list[Request]:
        """Choose each one's next token and hand it out; returns those that go on."""
        import torch

        logits = logits.float()
        sound = torch.isfinite(logits).all(-1)
        tokens = logits.argmax(-1)
        if any(request.temperature > 0 for request in requests):
            tokens = torch.where(*_drawn(logits, requests), tokens)
        going = []
        for request, (token, finite) in zip(requests, torch.stack((tokens, sound.long()), 1).tolist(), strict=True):
            request.last = token
            request.made += 1
            if not finite:
                request.put(ModelError("The model computes no numbers (NaN): its weights are damaged, or its training failed."))
                continue
            ended = token in request.stops
            if not ended:
                request.put(token)
            if ended or request.made >= request.most:
                request.put(None)
            else:
                going.append(request)
        return going

    def _keep(self, rows: list[Request]) -> None:
        if len(rows) == len(self._rows):
            return
        if not rows:
            self._rows, self._cache = [], None
            return
        import torch

        kept = torch.tensor([self._rows.index(row) for row in rows], device=self._model.device)
        self._rows = rows
        # The keys of a row's last token are not there yet.
        width = max(row.length for row in rows) - 1
        for layer in self._cache.layers:
            layer.keys = layer.keys[kept, :, -width:].contiguous()
            layer.values = layer.values[kept, :, -width:].contiguous()

    def _beside(self, cache: Any, length: int) -> Any:
        """The rows' cache with one more row, all as wide as the widest, padded on the left."""
        import torch
        from torch.nn.functional import pad

        width = max(self._cache.get_seq_length(), length)
        for old, new in zip(self._cache.layers, cache.layers, strict=True):
            for name in ("keys", "values"):
                both = (pad(tensor, (0, 0, width - tensor.shape[-2], 0)) for tensor in (getattr(old, name), getattr(new, name)))
                setattr(old, name, torch.cat(tuple(both)))
        return self._cache

    def _fail(self, error: Exception) -> None:
        sentence = error if isinstance(error, ModelError) else ModelError(_sentence(error))
        failed = [*self._rows, *((self._joining[0],) if self._joining else ())]
        self._rows, self._cache, self._joining = [], None, None
        for request in failed:
            request.put(sentence)


def _drawn(logits: "torch.Tensor", requests: Sequence[Request]) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Which rows are drawn by lot, and what was drawn: of the fewest tokens that have `top_p` of the probability."""
    import torch

    heat = torch.tensor([request.temperature for request in requests], device=logits.device)
    kept = torch.tensor([request.top_p for request in requests], device=logits.device)
    heated = torch.nan_to_num(logits) / heat.clamp(min=1e-3)[:, None]
    chances, order = heated.softmax(-1).sort(-1, descending=True)
    chances = chances.masked_fill(chances.cumsum(-1) - chances >= kept.clamp(min=1e-6)[:, None], 0)
    return heat > 0, order.gather(1, torch.multinomial(chances, 1)).squeeze(1)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "out of memory" in text or "not enough memory" in text or isinstance(error, MemoryError):
        return "There was not enough memory for this answer: ask again with less history, or use a smaller model."
    return f"The model failed in the middle of an answer ({type(error).__name__}: {text[:160]})."
