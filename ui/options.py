"""How a question is to be answered: by which model, with or without the knowledge base, from how sure on, how long."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from kb import KBError, Settings
from ui.words import Words

WITH, WITHOUT = "base", "plain"  # values of the choice between the knowledge base and the model alone
MAX_SYSTEM = 4000  # characters
MAX_TEMPERATURE = 2.0
LEAST, MOST = 16, 8192  # tokens of an answer
LIVE = ""  # the model that answers now, whichever it is when the question is asked


@dataclass(frozen=True, slots=True)
class Options:
    """None and "" mean what the settings say. `sure`: the confidence (0 to 1) that an answer needs.

    `as_typed`: the question is searched for as it stands, so that two models are given the same passages.
    """

    model: str = LIVE
    plain: bool = False
    sure: float | None = None
    system: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    as_typed: bool = False


def read(words: Words, names: Collection[str], chosen: Sequence[Any]) -> Options:
    """What the fields of the page hold: model, with or without, sure in percent, system prompt, temperature, tokens.

    Nothing `chosen`: the defaults.

    Raises:
        KBError: a value that the page does not offer, in one sentence.
    """
    if not chosen:
        return Options()
    model, how, sure, system, temperature, tokens = chosen
    if model != LIVE and (not isinstance(model, str) or model not in names):
        raise KBError(words("options.gone"))
    if how not in (WITH, WITHOUT):
        raise KBError(words("options.bad"))
    system = "" if system is None else system
    if not isinstance(system, str) or len(system) > MAX_SYSTEM:
        raise KBError(words("options.long", limit=MAX_SYSTEM))
    return Options(
        model,
        how == WITHOUT,
        _number(words, "sure", sure, 0, 100) / 100,
        system.strip(),
        _number(words, "temperature", temperature, 0, MAX_TEMPERATURE),
        round(_number(words, "tokens", tokens, LEAST, MOST)),
    )


def defaults(settings: Settings) -> tuple[int, float, int]:
    """What the fields hold at first: sure in percent, temperature, tokens."""
    return round(settings.refuse_below * 100), settings.temperature, min(max(settings.max_tokens, LEAST), MOST)


def _number(words: Words, field: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise KBError(words("options.number", what=words(f"options.{field}"), low=f"{low:g}", high=f"{high:g}"))
    return float(value)
