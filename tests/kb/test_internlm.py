"""The model in memory, with tiny random weights: what it says is noise, how it says it is not."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from kb.errors import ModelError
from kb.llm.batching import Engine, Request
from kb.llm.internlm import InternLM
from kb.llm.load import load_model
from kb.llm.pieces import Characters, Unthought, Until
from kb.llm.tool_calls import calls_in
from kb.models import Card
from kb.settings import load_settings
from tests import tiny_models

CHATS = [[HumanMessage(f"第{n}个问题 " + "word " * (7 * n % 40))] for n in range(7)]
TOKENS = 24


def card(name: str = "tiny", **more: Any) -> Card:
    return Card(name, "test", **{"template": "internlm2", "dtype": "float32", "context": 1024, "parameters": 10**6} | more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.llama(tmp_path_factory.mktemp("tiny") / "model", max_position_embeddings=1024)


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[InternLM]:
    made = load_model(card(), folder, load_settings(data_base=Path("unused")))
    made.temperature, made.max_tokens = 0.0, TOKENS
    yield made
    made.close()


def generated(model: InternLM, chat: list[BaseMessage], tokens: int = TOKENS) -> list[int]:
    """What transformers' own generate says, greedily."""
    import torch

    template, weights = model._template, model._engine._model
    ids = torch.tensor([template.encode([{"role": "user", "content": chat[0].content}])])
    out = weights.generate(ids, max_new_tokens=tokens, do_sample=False, eos_token_id=sorted(template.stops), pad_token_id=2)
    return [id_ for id_ in out[0, ids.shape[1] :].tolist() if id_ not in template.stops]


def text_of(model: InternLM, ids: list[int]) -> str:
    return model._template.tokenizer.decode(ids, skip_special_tokens=True)


def test_greedy_answers_are_those_of_generate(model: InternLM) -> None:
    for chat in CHATS[:3]:
        reply, ids = model.invoke(chat), generated(model, chat)
        assert reply.content == text_of(model, ids)
        assert reply.usage_metadata is not None
        assert reply.usage_metadata["output_tokens"] == len(ids)
        assert reply.usage_metadata["input_tokens"] == model.get_num_tokens_from_messages(chat)
        assert reply.response_metadata["finish_reason"] == ("length" if len(ids) == TOKENS else "stop")


def test_answers_given_together_are_those_given_alone(model: InternLM) -> None:
    alone = [text_of(model, generated(model, chat)) for chat in CHATS]
    assert [reply.content for reply in model.batch_chat(CHATS)] == alone
    assert [reply.content for reply in model.batch(CHATS)] == alone

    async def together() -> list[str]:
        return [str(reply.content) for reply in await asyncio.gather(*(model.ainvoke(chat) for chat in CHATS))]

    assert asyncio.run(together()) == alone


def test_answers_join_and_leave_between_steps(model: InternLM) -> None:
    """Of different lengths, begun at different moments, with a prompt that is read in parts."""
    long = [HumanMessage("long " * 250)]
    chats = [CHATS[1], long, *CHATS[2:]]
    wanted = [text_of(model, generated(model, chat, 5 + 6 * n)) for n, chat in enumerate(chats)]
    with ThreadPoolExecutor(len(chats)) as pool:
        said = [pool.submit(model.invoke, chat, max_tokens=5 + 6 * n) for n, chat in enumerate(chats)]
        assert [one.result().content for one in said] == wanted


def test_a_prompt_is_read_in_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.llm.batching._PART", 7)
    model = load_model(card(), folder, load_settings(data_base=Path("unused")))
    model.temperature = 0.0
    try:
        assert model.invoke(CHATS[4], max_tokens=9).content == text_of(model, generated(model, CHATS[4], 9))
    finally:
        model.close()


def test_pieces_add_up_to_the_whole(model: InternLM) -> None:
    for chat in CHATS:
        chunks = list(model.stream(chat))
        assert "".join(chunk.text for chunk in chunks) == model.invoke(chat).content
        assert all(chunk.text for chunk in chunks[:-1])
        assert chunks[-1].usage_metadata is not None


@pytest.mark.parametrize("text", ["你好，世界！🙂 naïve — 上海", "𠮷野家 e\u0301 👩‍👩‍👧", "plain"])
def test_no_piece_ends_within_a_character(model: InternLM, text: str) -> None:
    tokenizer = model._template.tokenizer
    characters = Characters(tokenizer.decode)
    pieces = [characters.add(id_) for id_ in model._template.plain(text)]
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert characters.end() == ""
    half = Characters(tokenizer.decode)
    assert [half.add(id_) for id_ in model._template.plain("🙂")[:-1]][-1] == ""
    assert "\ufffd" in half.end()


def test_stop_sequences_end_an_answer_before_them(model: InternLM) -> None:
    whole = str(model.invoke(CHATS[1]).content)
    stop = whole[len(whole) // 2 :][:4]
    streamed = "".join(chunk.text for chunk in model.stream(CHATS[1], stop=[stop]))
    assert streamed == model.invoke(CHATS[1], stop=["never", stop]).content == whole[: whole.index(stop)]


def test_a_closed_iterator_stops_the_model_within_a_token(model: InternLM, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    step = Engine._step

    def counted(self: Engine) -> None:
        nonlocal steps
        steps += bool(self._rows)
        step(self)

    monkeypatch.setattr(Engine, "_step", counted)

    async def first() -> None:
        async with aclosing(model._astream(CHATS[0], max_tokens=500)) as chunks:
            async for _ in chunks:
                break

    stream = model.stream(CHATS[0], max_tokens=500)
    next(stream)
    stream.close()
    asyncio.run(first())
    wait_until(lambda: not model._engine._rows)
    assert steps < 100  # of the thousand that were asked for
    assert model.invoke(CHATS[0]).content == text_of(model, generated(model, CHATS[0]))


def wait_until(there: Any) -> None:
    for _ in range(200):
        if there():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not happen within 4 s")


def test_history_prompts_and_chains(model: InternLM) -> None:
    said = [SystemMessage("S"), HumanMessage("Q"), AIMessage("A"), HumanMessage("R")]
    turns = "user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nR<|im_end|>\n<|im_start|>assistant\n"
    assert model.prompt(said).endswith(turns)
    chain = ChatPromptTemplate.from_messages([("human", "{q}")]) | model | StrOutputParser()
    assert chain.invoke({"q": CHATS[2][0].content}) == model.invoke(CHATS[2]).content
    assert model.get_num_tokens("你好") == len(model._template.plain("你好"))


def test_what_is_too_long_is_one_sentence(model: InternLM) -> None:
    with pytest.raises(ModelError, match="reads 1024") as caught:
        model.invoke([HumanMessage("word " * 2000)])
    assert "\n" not in str(caught.value)


def test_drawn_answers_differ_and_a_narrow_draw_is_greedy(model: InternLM) -> None:
    assert len({str(model.invoke(CHATS[3], temperature=1.5, top_p=1.0).content) for _ in range(4)}) > 1
    assert model.invoke(CHATS[3], temperature=1.5, top_p=1e-6).content == model.invoke(CHATS[3]).content


def test_numbers_that_are_none_are_told(folder: Path) -> None:
    model = load_model(card(), folder, load_settings(data_base=Path("unused")))
    model._engine._model.lm_head.weight.data[0, 0] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        model.invoke(CHATS[0])
    model.close()
    with pytest.raises(ModelError, match="taken out of memory"):
        model.invoke(CHATS[0])


def test_one_bad_request_does_not_fail_the_others(model: InternLM) -> None:
    told: list[Any] = []
    bad = Request([10**6], 5, frozenset(), told.append)  # no such token
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(model.invoke, CHATS[5])
        model._engine.submit(bad)
        assert good.result().content == text_of(model, generated(model, CHATS[5]))
    wait_until(lambda: told)
    assert isinstance(told[0], ModelError)


def test_there_is_room_for_so_many_rows_and_the_rest_waits(model: InternLM, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    step = Engine._step

    def watched(self: Engine) -> None:
        nonlocal most
        most = max(most, len(self._rows))
        step(self)

    monkeypatch.setattr(Engine, "_step", watched)
    monkeypatch.setattr(model._engine, "_room", 250)
    model.batch_chat(CHATS)
    assert 1 <= most <= 3


def test_tools_are_bound_only_where_the_template_has_them(model: InternLM, folder: Path) -> None:
    def weather(city: str) -> str:
        """The weather of a city."""
        return city

    assert model.bind_tools([weather]).invoke(CHATS[0], max_tokens=3).usage_metadata
    other = InternLM.around(model._engine, type(model._template)("llama3", model._template.tokenizer), "other", 512)
    with pytest.raises(NotImplementedError, match="no place for tools"):
        other.bind_tools([weather])


def test_calls_are_read_as_models_write_them() -> None:
    text, [call] = calls_in('好。<|action_start|><|plugin|>\n{"name": "weather", "parameters": {"city": "上海"}}<|action_end|>')
    assert (text, call["name"], call["args"]) == ("好。", "weather", {"city": "上海"})
    two = '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>\n<tool_call>{"name": "b", "arguments": {"x": 1}}</tool_call>'
    text, calls = calls_in(two)
    assert ([call["name"] for call in calls], text) == (["a", "b"], "")
    assert calls_in("<tool_call>nonsense</tool_call>") == ("<tool_call>nonsense</tool_call>", [])


def test_thoughts_are_not_shown() -> None:
    for size in (1, 3, 100):
        said, thought = "<think>\nsecret < b\n</think>\n\nShown a < b <think>no</think>!", Unthought()
        shown = "".join(thought.add(said[at : at + size]) for at in range(0, len(said), size)) + thought.end()
        assert shown == "Shown a < b !"
    until = Until(["STOP"])
    assert ("".join(map(until.add, "a ST b STO")) + until.end(), until.met) == ("a ST b STO", False)


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 16), ("float16", 16), ("float32", 32)])
def test_weights_are_as_wide_as_they_were(tmp_path: Path, dtype: str, bits: int) -> None:
    import torch

    folder = tiny_models.llama(tmp_path / "m", dtype=dtype)
    model = load_model(card(dtype=dtype, context=512), folder, load_settings(data_base=tmp_path))
    assert model._engine._model.dtype == {16: torch.bfloat16, 32: torch.float32}[bits]
    assert model.invoke(CHATS[0], max_tokens=4).usage_metadata
    model.close()


def test_what_cannot_be_loaded_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    settings = load_settings(data_base=tmp_path)
    with pytest.raises(ModelError, match="quantised"):
        load_model(card(quantization="awq 4 bit"), folder, settings)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(card(), tmp_path, settings)
    broken = tiny_models.llama(tmp_path / "broken", num_hidden_layers=3)
    config = (broken / "config.json").read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 4')
    (broken / "config.json").write_text(config)
    with pytest.raises(ModelError, match="lacks weights") as caught:
        load_model(card(), broken, settings)
    assert "\n" not in str(caught.value)
