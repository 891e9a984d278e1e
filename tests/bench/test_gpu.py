"""A model of InternLM2.5-7B's shape with random weights, on a GPU: conversion, loading, answers a second, swaps, QLoRA.

    make bench ARGS="-k gpu"

It needs CUDA, 48 GB of disk under KB_BENCH_SCRATCH (default: /tmp) and, for QLoRA, the XTuner environment (`make env-xtuner`).

KB_BENCH_LAYERS=2 makes the model small, to see that the bench itself works; then KB_BENCH_DEVICE=cpu will do.
"""

import dataclasses
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import kb

pytestmark = pytest.mark.bench

LAYERS = int(os.environ.get("KB_BENCH_LAYERS", "32"))
DEVICE = os.environ.get("KB_BENCH_DEVICE", "cuda")
BIG = LAYERS >= 8
SHAPE = {
    "hidden_size": 4096 if BIG else 512,
    "intermediate_size": 14336 if BIG else 1024,
    "num_attention_heads": 32 if BIG else 8,
    "num_key_value_heads": 8 if BIG else 2,
    "vocab_size": 92544,
}
PROMPT, NEW = (512, 256) if BIG else (64, 16)  # tokens
GIB = 1 << 30
SHARD = 2 * GIB
SPECIAL = {"<unk>": 0, "<s>": 1, "</s>": 2, "<|im_end|>": 92542, "<|im_start|>": 92543}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    import torch

    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    folder = Path(os.environ.get("KB_BENCH_SCRATCH", "/tmp")) / "kb-bench-gpu"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def settings(home: Path) -> kb.Settings:
    tools = os.environ.get("KB_BENCH_TOOLS")
    return kb.load_settings(data_base=home / "data_base", model_device=DEVICE, max_tokens=NEW, temperature=0.0, tools=tools)


@pytest.fixture(scope="module")
def published(home: Path) -> Path:
    """The model in InternLM2's own layout, in shards."""
    import torch
    from safetensors.torch import save_file

    folder = home / "internlm2-7b-random"
    folder.mkdir()
    config = SHAPE | {
        "architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2", "bias": False, "num_hidden_layers": LAYERS,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "hidden_act": "silu", "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-5, "rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_theta": 1000000,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "initializer_range": 0.02,
        "auto_map": {"AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    _tokenizer(folder)
    hidden, inner, keys = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["num_key_value_heads"]
    head = hidden // SHAPE["num_attention_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.tok_embeddings.weight": (SHAPE["vocab_size"], hidden)}
    for n in range(LAYERS):
        shapes |= {
            f"model.layers.{n}.attention.wqkv.weight": (hidden + 2 * keys * head, hidden),
            f"model.layers.{n}.attention.wo.weight": (hidden, hidden),
            f"model.layers.{n}.feed_forward.w1.weight": (inner, hidden),
            f"model.layers.{n}.feed_forward.w3.weight": (inner, hidden),
            f"model.layers.{n}.feed_forward.w2.weight": (hidden, inner),
            f"model.layers.{n}.attention_norm.weight": (hidden,),
            f"model.layers.{n}.ffn_norm.weight": (hidden,),
        }
    shapes |= {"model.norm.weight": (hidden,), "output.weight": (SHAPE["vocab_size"], hidden)}
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for name, shape in shapes.items():
        bytes_ = 2 * int(torch.Size(shape).numel())
        if size + bytes_ > SHARD and shards[-1]:
            shards, size = [*shards, {}], 0
        shards[-1][name] = shape
        size += bytes_
    where = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {}
        for name, shape in names.items():
            norm = len(shape) == 1
            tensor = torch.ones(shape) if norm else torch.randn(shape, device=DEVICE, dtype=torch.bfloat16) * 0.02
            tensors[name] = tensor.to("cpu", torch.bfloat16)
            where[name] = file
        save_file(tensors, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def _tokenizer(folder: Path) -> None:
    """A word is a token, so that lengths are exact: w3, w4 …"""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    names = {number: name for name, number in SPECIAL.items()}
    words = {names.get(number, f"w{number}"): number for number in range(SHAPE["vocab_size"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    told = special | {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def command(module: str, *args: str, data_base: Path) -> tuple[float, str]:
    """Run a command of ours; its seconds and its output."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", module, *args], capture_output=True, text=True, check=False,
                          env=os.environ | {"KB_DATA_BASE": str(data_base), "KB_MODEL_DEVICE": DEVICE})  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return time.monotonic() - started, done.stdout


def card() -> str:
    import torch

    return torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"


def used() -> float:
    """GiB in use on the device."""
    import torch

    if DEVICE == "cpu":
        return psutil.Process().memory_info().rss / GIB
    free, total = torch.cuda.mem_get_info()
    return (total - free) / GIB


def question(seed: int) -> str:
    return " ".join(f"w{3 + (seed * 7919 + n * 104729) % 92000}" for n in range(PROMPT))


def plain(model: Any, prompts: list[list[int]]) -> float:
    """Tokens a second of transformers' generate on a batch."""
    import torch

    ids = torch.tensor(prompts, device=DEVICE)
    started = time.monotonic()
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False)
    return len(prompts) * (out.shape[1] - ids.shape[1]) / (time.monotonic() - started)


def with_cudnn(work: Callable[[], None]) -> None:
    """As torch comes: kb.llm.load takes cuDNN's attention out of its choice."""
    import torch

    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        work()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(False)


def users(ask: Callable[[int], int], count: int) -> float:
    """Tokens a second that `count` users get together."""
    started = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        made = sum(pool.map(ask, range(count)))
    return made / (time.monotonic() - started)


def _load_and_ask(settings: kb.Settings, empty: float) -> None:
    from langchain_core.messages import HumanMessage

    from kb import serving

    started = time.monotonic()
    with serving.lease(settings, "seven") as chat:
        assert chat is not None
        model: Any = chat.langchain(settings)
        print(f"load: {time.monotonic() - started:.1f} s; memory {empty:.2f} → {used():.2f} GiB", end="; ")
        print(f"said to need {next(e.needs for e in serving.entries(settings) if e.name == 'seven') / GIB:.2f} GiB")

        def ours(seed: int) -> int:
            return int(model.invoke([HumanMessage(question(seed))]).usage_metadata["output_tokens"])

        network = model._engine._model
        with_cudnn(lambda: print(f"generate, cuDNN's attention, lengths never seen: {plain(network, [[5] * 300]):.1f} tokens/s"))
        prompts = [model._template.encode([{"role": "user", "content": question(n)}]) for n in range(8)]
        ours(99)
        plain(network, prompts[:1])  # both are warm now
        for count in (1, 8):
            a, b, c, d = users(ours, count), plain(network, prompts[:count]), users(ours, count), plain(network, prompts[:count])
            print(f"{count} users: ours {a:.1f}, {c:.1f} tokens/s; generate {b:.1f}, {d:.1f}; ratio {(a + c) / (b + d):.2f}")
        print(f"memory after answers: {used():.2f} GiB", end="; ")
        time.sleep(8)
        print(f"when nobody has asked for some seconds: {used():.2f} GiB")


def test_gpu_models(settings: kb.Settings, published: Path) -> None:
    import torch
    from langchain_core.messages import HumanMessage

    from kb import serving

    data_base = settings.data_base
    print(f"\n{card()}, torch {torch.__version__}, {LAYERS} layers, {PROMPT} + {NEW} tokens")
    seconds, _ = command("kb", "models", "add", str(published), "--name", "seven", data_base=data_base)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20)
    size = sum(file.stat().st_size for file in published.glob("*.safetensors")) / GIB
    print(f"conversion of {size:.1f} GiB: {seconds:.1f} s with hashing, peak resident memory of a child so far {peak:.2f} GiB")
    torch.zeros(1, device=DEVICE)
    empty = used()
    _load_and_ask(settings, empty)
    command("kb", "models", "add", str(data_base / "models" / "seven"), "--name", "again", data_base=data_base)
    serving.use(settings, "seven")
    time.sleep(8)  # an engine that is not asked gives back what answers took
    before = used()
    for n in range(5):
        swap = serving.use(settings, "again" if n % 2 == 0 else "seven")
        print(
            f"swap to {swap.new}: {swap.seconds:.1f} s, used {swap.used_before / GIB:.2f} → {swap.used_after / GIB:.2f} GiB",
            end="",
        )
        print(", the old one stopped first" if swap.stopped_first else "")
        with serving.lease(settings) as chat:
            assert chat is not None
            assert chat.langchain(settings).invoke([HumanMessage(question(n))]).usage_metadata
    print(f"before the swaps {before:.2f} GiB, after 5 {used():.2f} GiB: {(used() - before) * 1024:+.0f} MiB")
    swap = serving.use(settings, serving.QUOTES)
    print(f"without a model: used {swap.used_after / GIB:.2f} GiB (before the first {empty:.2f})")


@pytest.mark.parametrize("bf16", [True, False], ids=["bf16", "fp16"])
def test_gpu_tuning(settings: kb.Settings, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The homework's recipe: NF4 QLoRA, rank 64, 512 tokens packed, batch 2, accumulation 16; in fp16 as the course ran it."""
    import finetune
    from finetune import config, planning, watch
    from finetune.device import device
    from kb.tools import tool

    if tool(settings, "xtuner").state != "ready":
        pytest.skip("XTuner's environment is not there: make env-xtuner")
    words = [" ".join(f"w{3 + (n * 7919 + k * 31) % 92000}" for k in range(60)) for n in range(400)]
    examples = [finetune.Example((finetune.Message("user", one), finetune.Message("assistant", one)), "bench") for one in words]
    recipe = finetune.Recipe(
        "seven", iterations=(60 if bf16 else 30) if BIG else 12, save_every=1000, evaluate_every=1000, prompts=("w5 w6",),
        batch_size=2 if BIG else 1, max_length=512 if BIG else 256,
    )  # fmt: skip
    if not bf16:
        card_without = dataclasses.replace(device(), bf16=False)
        for module in (planning, watch):
            monkeypatch.setattr(module, "device", lambda: card_without)
    monkeypatch.setattr(config, "_EVALUATION_TOKENS", {"cuda": 20, "cpu": 20})  # not what is timed
    name = "bf16" if bf16 else "fp16"
    finetune.new_tune(settings, name, recipe, examples)
    said = finetune.estimate(settings, recipe)
    before = used()
    peak, ended = [before], threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            peak.append(used())

    watcher = threading.Thread(target=look)
    watcher.start()
    started = time.monotonic()
    try:
        tune = finetune.train(settings, name)
    finally:
        ended.set()
        watcher.join()
    seconds = time.monotonic() - started
    log = tune.log.read_text("utf-8")
    assert tune.state == "trained", log[-2000:]
    each = [float(number) for number in re.findall(r"Iter\(train\).*? time: ([\d.]+)", log)]
    memory = [int(number) / 1024 for number in re.findall(r"Iter\(train\).*? memory: (\d+)", log)]
    norms = [point.grad_norm for point in finetune.curves(settings, name)]
    print(f"\n{card()}, {name}: {tune.total} iterations, {seconds:.0f} s in all; seconds an iteration {each}")
    print(f"torch's peak {max(memory, default=0):.2f} GiB; on the device {max(peak) - before:.2f} GiB", end="; ")
    print(f"estimate {said.total / GIB:.2f} GiB: {', '.join(f'{part.code} {part.bytes / GIB:.2f}' for part in said.parts)}")
    print(f"grad_norm {norms}")
    assert bf16 == ("bfloat16" in (tune.folder / "config.py").read_text()) or DEVICE == "cpu"
    if bf16 and DEVICE == "cuda":  # in float16, on random weights, they are no numbers
        assert any(norms)
        assert all(norm is None or math.isfinite(norm) for norm in norms)
