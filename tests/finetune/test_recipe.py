"""Recipes, lengths, the plan that follows from them, and the memory it takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kb
from finetune.dataset import Example, pair
from finetune.device import Device
from finetune.lengths import lengths_of, measure
from finetune.memory import parts_of
from finetune.planning import plan_of, teachable
from finetune.recipe import Recipe, recipe_from
from finetune.shape import Shape, shape_of
from finetune.templates import derived, template
from kb.errors import TuneError
from tests import tiny_models

GB = 1e9
H200 = Device("cuda", "a card", 141 * 10**9, True)
SEVEN_B = Shape(hidden=4096, layers=32, queries=4096, keys=1024, intermediate=14336, vocabulary=92544, tied=False)


def test_the_defaults_are_the_homeworks() -> None:
    recipe = Recipe("internlm-chat-7b")
    assert (recipe.rank, recipe.alpha, recipe.dropout, recipe.lr, recipe.epochs) == (64, 16, 0.1, 2e-4, 3)
    assert (recipe.max_length, recipe.packing, recipe.batch_size, recipe.accumulation, recipe.warmup) == (512, True, 2, 16, 0.03)
    assert (recipe.save_every, recipe.evaluate_every, recipe.prompts[0]) == (500, 90, "请介绍一下你自己")
    assert recipe.faults() == {}
    assert recipe_from(recipe.as_json() | {"of a later version": 1}) == recipe


@pytest.mark.parametrize(
    ("field", "value"),
    [("base", ""), ("method", "full"), ("rank", 0), ("alpha", 0), ("dropout", 1.0), ("lr", float("nan")), ("lr", 0.0),
     ("epochs", 0), ("max_length", 8), ("batch_size", 0), ("accumulation", 0), ("warmup", 0.6), ("save_every", 0),
     ("evaluate_every", 0), ("keep_checkpoints", 0), ("prompts", ("a", " ")), ("seed", -1), ("iterations", -1)],
)  # fmt: skip
def test_each_field_has_its_sentence(field: str, value: Any) -> None:
    faults = replace(Recipe("tiny"), **{field: value}).faults()
    assert list(faults) == [field]
    assert faults[field].endswith(".")


def test_the_homework_takes_as_long_as_it_took() -> None:
    """Its last checkpoint is iter_1152.pth: 3 epochs over 10,001 examples of 40 tokens, packed to 512, two at a time.

    It packed in 32 processes, each of which drops what is left over; we pack in one, and lose less.
    """
    assert 3 * (32 * (10_001 // 32 * 40 // 512) // 2) == 1152
    schedule = Recipe("internlm-chat-7b").schedule(lengths_of([(40, 10_001)], 512))
    assert (schedule.sequences, schedule.per_epoch, schedule.total) == (781, 391, 1173)
    assert (schedule.steps, schedule.warmup) == (74, 35)


def test_warm_up_is_at_least_two_iterations() -> None:
    """With less the rate would stay at 1e-5 of what was asked, without a word."""
    schedule = Recipe("tiny", epochs=1, batch_size=4).schedule(lengths_of([(40, 200)], 512))
    assert (schedule.total, schedule.warmup) == (4, 2)
    assert Recipe("tiny", iterations=1).schedule(lengths_of([(40, 200)], 512)).warmup == 1


def test_lengths_are_counted_and_cut() -> None:
    lengths = lengths_of([(10, 3), (33, 1), (600, 2)], 512)
    assert lengths.bins == ((32, 3), (64, 1), (128, 0), (256, 0), (512, 0), (1024, 2))
    assert (lengths.examples, lengths.total, lengths.longest, lengths.cut, lengths.packed) == (6, 1263, 600, 2, 1087)
    assert Recipe("tiny", packing=False).schedule(lengths).sequences == 6
    assert lengths_of([], 512).bins == ()


def test_tokens_are_counted_as_the_tool_lays_them_out(taught: kb.Settings) -> None:
    """The real tool showed this example as 72 tokens and a first one."""
    from kb.models import model_folder

    one = pair("请做一下自我介绍", "我是Link Chen的小助手，内在是上海AI实验室书生·浦语的7B大模型哦", "x", copies=200)
    chat = template("internlm2")
    assert chat is not None
    lengths = measure(model_folder(taught, "tiny"), chat, [one, pair("q", "", "x")], 256)
    assert (lengths.total, lengths.examples) == (200 * 73, 200)


def test_the_memory_of_the_homework_is_what_was_measured() -> None:
    """10.2 GB peak on a card, in a run where the scaler skipped every step, so that Adam never had its moments."""
    parts = {part.code: part.bytes for part in parts_of(SEVEN_B, Recipe("internlm2-7b"), H200)}
    assert SEVEN_B.linear + SEVEN_B.outer == 7_737_708_544
    measured = sum(parts.values()) - parts["optimizer"] - parts["context"]
    assert measured / GB == pytest.approx(10.2, rel=0.10)
    assert parts["weights"] / GB == pytest.approx(3.49 + 3.03, abs=0.01)  # NF4, and what peft makes float32
    assert parts["optimizer"] == 2 * parts["gradients"] == 2 * parts["adapter"]


def test_what_makes_it_smaller_does() -> None:
    def total(**changes: Any) -> int:
        return sum(part.bytes for part in parts_of(SEVEN_B, replace(Recipe("x"), **changes), H200))

    assert total() < total(method="lora")
    assert total(rank=16) < total() < total(batch_size=8) < total(batch_size=8, max_length=1024)


def test_the_shape_is_the_models(taught: kb.Settings) -> None:
    from kb.models import get_model, model_folder

    shape = shape_of(model_folder(taught, "tiny"))
    assert shape is not None
    assert shape.linear + shape.outer == get_model(taught, "tiny").parameters


def test_a_plan_says_what_will_happen(taught: kb.Settings, tmp_path: Path, recipe: Recipe, examples: list[Example]) -> None:
    long = pair("问" * 300, "答", "x")
    made = plan_of(taught, tmp_path, replace(recipe, accumulation=16), [*examples, long])
    assert made.lengths.examples == 7
    assert [sentence[:20] for sentence in made.warnings] == [
        "1 rows have no answe", "1 of 7 examples are ", "The optimizer takes "
    ]  # fmt: skip
    assert made.memory.fits
    assert plan_of(taught, tmp_path, replace(recipe, config_text="# mine"), examples).config == "# mine"
    with pytest.raises(TuneError, match="no example with an answer"):
        plan_of(taught, tmp_path, recipe, examples[1:2])
    with pytest.raises(TuneError, match="rank"):
        plan_of(taught, tmp_path, replace(recipe, rank=0), examples)


def test_only_weights_that_are_here_can_be_taught(taught: kb.Settings) -> None:
    from kb.models import add_endpoint, remove_model

    add_endpoint(taught, "afar", "http://127.0.0.1:1/v1")
    with pytest.raises(TuneError, match="on a server"):
        teachable(taught, "afar")
    remove_model(taught, "afar")


def test_a_template_is_read_off_the_tokenizer(tmp_path: Path) -> None:
    import json

    tiny_models.write_tokenizer(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    text = (
        "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": text}), "utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', "utf-8")
    assert derived(tmp_path) == template("internlm2")
