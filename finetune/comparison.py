"""The evaluation prompts, asked of the base model and of the merged one: what was learned, in one look."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass

from finetune.files import read_json, write_json
from finetune.tunes import COMPARED, get_tune
from kb.errors import TuneError
from kb.settings import Settings

_TOKENS = 200  # of an answer


@dataclass(frozen=True, slots=True)
class Pair:
    """What the base said to a prompt, and what the merged model says."""

    prompt: str
    before: str
    after: str


def compare(settings: Settings, name: str, tell: Callable[[int, int], None] | None = None) -> list[Pair]:
    """Ask both models, one after the other, at temperature 0, and keep the pairs in the tune's folder.

    Raises:
        TuneError: nothing is merged yet, or the recipe has no prompt.
        ModelError: one of them cannot be loaded.
    """
    tune = get_tune(settings, name)
    if not tune.models:
        raise TuneError(f"The tune {name!r} has no merged model yet: merge it first.")
    if not tune.recipe.prompts:
        raise TuneError(f"The recipe of {name!r} has no evaluation prompt to ask.")
    prompts, answers = tune.recipe.prompts, []
    for at, model in enumerate((tune.recipe.base, tune.models[-1])):
        if tell:
            tell(at * len(prompts), 2 * len(prompts))
        answers.append(ask(settings, model, prompts, tune.recipe.system))
    found = [Pair(*row) for row in zip(prompts, *answers, strict=True)]
    write_json(tune.folder / COMPARED, {"model": tune.models[-1], "pairs": [asdict(pair) for pair in found]})
    return found


def pairs(settings: Settings, name: str) -> list[Pair]:
    """Those that were kept; empty if none were."""
    value = read_json(get_tune(settings, name).folder / COMPARED)
    return [Pair(**row) for row in value.get("pairs", ())]


def ask(settings: Settings, model: str, prompts: tuple[str, ...], system: str) -> list[str]:
    """The answers of a model here, each prompt asked by itself, in the form it was taught in. Raises TuneError or ModelError."""
    from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

    from kb.llm.chat import Chat
    from kb.serving import lease

    greedy = settings.model_copy(update={"temperature": 0.0, "max_tokens": _TOKENS})

    async def one(chat: Chat, prompt: str) -> str:
        said: list[BaseMessage] = [SystemMessage(system)] if system else []
        async with aclosing(chat.stream([*said, HumanMessage(prompt)], greedy)) as pieces:
            return "".join([piece async for piece in pieces]).strip()

    with lease(settings, model) as chat:
        if chat is None:
            raise TuneError(f"The model {model!r} cannot be asked.")
        return [asyncio.run(one(chat, prompt)) for prompt in prompts]
