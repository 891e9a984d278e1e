"""The config that XTuner reads: Python that says what the recipe says."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune.config import write_config
from finetune.device import Device
from finetune.lengths import lengths_of
from finetune.recipe import Recipe
from finetune.templates import template

CPU = Device("cpu", "RAM", 8, False)
AMPERE = Device("cuda", "a card", 8, True)
TURING = Device("cuda", "an older card", 8, False)


def config(recipe: Recipe, on: Device, chat: str = "internlm2") -> str:
    form = template(chat)
    assert form is not None
    schedule = recipe.schedule(lengths_of([(40, 10_001)], recipe.max_length))
    return write_config(recipe, schedule, form, Path("/models/it's 一个"), Path("/tunes/数据/data.jsonl"), on)


def values(text: str) -> dict[str, Any]:
    """What stands at the top of the file, as far as it is plain."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                found[node.targets[0].id] = ast.unparse(node.value)
    return found


def test_the_numbers_are_the_recipes() -> None:
    found = values(config(Recipe("x", system="Say {nothing} 'more'"), AMPERE))
    assert (found["max_length"], found["pack_to_max_length"], found["batch_size"], found["accumulative_counts"]) == (
        512,
        True,
        2,
        16,
    )
    assert (found["max_iters"], found["warmup_iters"], found["lr"], found["max_norm"]) == (1173, 35, 2e-4, 1)
    assert (found["save_steps"], found["save_total_limit"], found["evaluation_freq"]) == (500, 2, 90)
    assert found["evaluation_inputs"] == ["请介绍一下你自己", "请做一下自我介绍"]
    assert found["SYSTEM"] == "Say {{nothing}} 'more'"  # the hook formats it once more
    assert found["pretrained_model_name_or_path"] == "/models/it's 一个"
    assert "@" not in config(Recipe("x"), AMPERE)


@pytest.mark.parametrize(
    ("on", "number", "wrapper", "backend"),
    [(CPU, "float32", "OptimWrapper", "gloo"), (AMPERE, "bfloat16", "AmpOptimWrapper", "nccl"),
     (TURING, "float16", "AmpOptimWrapper", "nccl")],
)  # fmt: skip
def test_what_depends_on_the_device(on: Device, number: str, wrapper: str, backend: str) -> None:
    text = config(Recipe("x"), on)
    found = values(text)
    assert f"torch_dtype=torch.{number}," in text
    assert f"bnb_4bit_compute_dtype=torch.{number}," in text
    assert f"type={wrapper}," in found["optim_wrapper"]
    assert ("dtype=" in found["optim_wrapper"]) == (on.kind == "cuda")
    assert f"backend='{backend}'" in found["env_cfg"]
    assert "trust_remote_code=True" not in text


def test_lora_is_not_quantised() -> None:
    text = config(Recipe("x", method="lora"), CPU)
    ast.parse(text)
    assert "quantization_config" not in text and "BitsAndBytes" not in text


@pytest.mark.parametrize("chat", ["internlm", "internlm2", "internlm3", "llama3", "qwen3", "chatml"])
def test_a_turn_is_written_as_the_model_answers_it(chat: str) -> None:
    """The chat's own templates (kb.llm.template) and the tool's say the same."""
    from kb.llm.template import SHAPES

    form, name = template(chat), {"internlm3": "internlm2", "qwen3": "chatml"}.get(chat, chat)
    assert form is not None
    shape = SHAPES[name]
    opened = shape.assistant[0]
    assert form.instruction == shape.user[0] + "{input}" + shape.user[1] + opened
    assert form.system == shape.system[0] + "{system}" + shape.system[1]
    assert form.suffix + form.sep == shape.assistant[1]
    assert set(form.stop_words) <= {*shape.stops, "<|endoftext|>"}
    assert f"INSTRUCTION={form.instruction!r}" in config(replace(Recipe("x")), CPU, chat)
