"""Conversion to Llama's layout, held against the published arithmetic of InternLM2 and InternLM written out here."""

import json
import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kb import convert
from kb.errors import ModelError
from kb.model_files import read_json, tensors
from tests import tiny_models


def reference(folder: Path, ids: list[int]) -> Any:
    """Logits of the model in `folder` as its publisher's modelling code computes them, from its own tensors, in plain torch."""
    import torch
    from safetensors.torch import load_file

    config, weights = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    second = config["model_type"] == "internlm2"
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    keys, size, length = config.get("num_key_value_heads", heads), hidden // heads, len(ids)
    rotary = config.get("rotary") or {"base": config["rope_theta"], **(config["rope_scaling"] or {"type": "origin"})}
    base, factor = float(rotary["base"]), float(rotary.get("factor", rotary.get("scaling_factor", 1.0)))
    most = config["max_position_embeddings"]
    if rotary["type"] == "dynamic" and length > most:
        base *= ((factor * length / most) - (factor - 1)) ** (size / (size - 2))
    angles = torch.outer(torch.arange(length).float(), 1.0 / base ** (torch.arange(0, size, 2).float() / size))
    cos, sin = (value(torch.cat((angles, angles), -1)) for value in (torch.cos, torch.sin))

    def linear(x: Any, name: str) -> Any:
        return torch.nn.functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(x: Any, name: str) -> Any:
        return weights[f"{name}.weight"] * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"])

    def rotate(x: Any) -> Any:  # (length, heads, size)
        half = torch.cat((-x[..., size // 2 :], x[..., : size // 2]), -1)
        return x * cos[:, None] + half * sin[:, None]

    x = weights["model.tok_embeddings.weight" if second else "model.embed_tokens.weight"][torch.tensor(ids)]
    mask = torch.full((length, length), -math.inf).triu(1)
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}"
        y = norm(x, f"{layer}.{'attention_norm' if second else 'input_layernorm'}")
        if second:  # 'b q (h gs d) -> b q h gs d', gs = 2 + groups
            groups = heads // keys
            qkv = linear(y, f"{layer}.attention.wqkv").view(length, keys, groups + 2, size)
            q, k, v = qkv[:, :, :groups].reshape(length, heads, size), qkv[:, :, -2], qkv[:, :, -1]
        else:
            q, k, v = (linear(y, f"{layer}.self_attn.{part}_proj").view(length, heads, size) for part in "qkv")
        q, k = rotate(q), rotate(k)
        k, v = (value.repeat_interleave(heads // keys, dim=1) for value in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(size) + mask
        y = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(length, hidden)
        x = x + linear(y, f"{layer}.{'attention.wo' if second else 'self_attn.o_proj'}")
        names = [f"feed_forward.w{one}" for one in "132"] if second else [f"mlp.{one}_proj" for one in ("gate", "up", "down")]
        y = norm(x, f"{layer}.{'ffn_norm' if second else 'post_attention_layernorm'}")
        gate, up = (linear(y, f"{layer}.{name}") for name in names[:2])
        x = x + linear(torch.nn.functional.silu(gate) * up, f"{layer}.{names[2]}")
    return linear(norm(x, "model.norm"), "output" if second else "lm_head")


def greedy(folder: Path, ids: list[int], count: int) -> list[int]:
    said = list(ids)
    for _ in range(count):
        said.append(int(reference(folder, said)[-1].argmax()))
    return said[len(ids) :]


CASES = {
    "grouped queries": ("internlm2", {}, 24),
    "every head its own keys": ("internlm2", {"num_key_value_heads": 4}, 24),
    "one key for all": ("internlm2", {"num_key_value_heads": 1}, 24),
    "biases": ("internlm2", {"bias": True}, 24),
    "longer than it was trained for": ("internlm2", {"max_position_embeddings": 16}, 40),
    "no scaling": ("internlm2", {"rope_scaling": None, "max_position_embeddings": 16}, 40),
    "the first generation": ("internlm", {}, 24),
    "the first generation, longer": ("internlm", {"max_position_embeddings": 16}, 40),
    "the first generation, no biases": ("internlm", {"bias": False, "rotary": {"base": 10000, "type": "origin"}}, 24),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More cost time on matrices this small."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES)
def test_the_converted_model_says_the_same(tmp_path: Path, case: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    kind, config, length = CASES[case]
    source = getattr(tiny_models, kind)(tmp_path / "source", **config)
    convert.convert(source, tmp_path / "new")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "new", dtype=torch.float32, attn_implementation="eager")
    ids = [(7 * n * n + 11) % 1190 + 5 for n in range(length)]
    with torch.no_grad():
        ours, theirs = model(torch.tensor([ids])).logits[0], reference(source, ids)
        assert ((ours - theirs).norm() / theirs.norm()).item() <= 1e-4
        # Without a cache: with one, published code and transformers alike keep keys that were turned at a shorter length.
        said = model.generate(
            torch.tensor([ids]), max_new_tokens=6, do_sample=False, use_cache=False, eos_token_id=None, pad_token_id=2
        )
    assert said[0, length:].tolist() == greedy(source, ids, 6)


def test_in_parts(tmp_path: Path) -> None:
    """Cut into files of a size, it is the same model."""
    source = tiny_models.internlm2(tmp_path / "source", dtype="bfloat16")
    convert.convert(source, tmp_path / "one")
    told: list[Any] = []
    convert.convert(source, tmp_path / "many", told.append, shard=400_000)
    names = sorted(path.name for path in (tmp_path / "many").glob("*.safetensors"))
    assert len(names) > 2 and names[0] == f"model-00001-of-{len(names):05d}.safetensors"
    one, many = tensors(tmp_path / "one"), tensors(tmp_path / "many")
    assert {name: _data(tensor) for name, tensor in one.items()} == {name: _data(tensor) for name, tensor in many.items()}
    index = read_json(tmp_path / "many" / "model.safetensors.index.json")
    assert index["metadata"]["total_size"] == sum(tensor.size for tensor in one.values())
    assert told[-1].done == told[-1].total


def test_it_needs_next_to_no_memory(tmp_path: Path) -> None:
    """An embedding of 100 MB goes through a few bytes at a time."""
    source = tiny_models.internlm2(tmp_path / "source")
    tiny, config = tensors(source), read_json(source / "config.json")
    (source / "config.json").write_text(json.dumps(config | {"vocab_size": 200_000}))
    shapes = {name: tensor.shape for name, tensor in tiny.items()} | {"model.tok_embeddings.weight": (200_000, 128)}
    header, at = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * math.prod(shape)]}
        at += 4 * math.prod(shape)
    text = json.dumps(header).encode()
    with (source / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    tracemalloc.start()
    try:
        convert.convert(source, tmp_path / "new")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


def _data(tensor: Any) -> bytes:
    with tensor.file.open("rb") as file:
        file.seek(tensor.start)
        return file.read(tensor.size)


def test_a_turn_ends_where_its_template_says(tmp_path: Path) -> None:
    convert.convert(tiny_models.internlm2(tmp_path / "source"), tmp_path / "new")
    assert read_json(tmp_path / "new" / "generation_config.json")["eos_token_id"] == [2, 4]
    config = read_json(tmp_path / "new" / "config.json")
    assert "auto_map" not in config and config["model_type"] == "llama"
    assert config["rope_scaling"] == {"rope_type": "dynamic", "type": "dynamic", "factor": 2.0}
    assert config["rope_parameters"] == {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1000000}


@pytest.mark.parametrize("lost", ["model.layers.1.attention.wqkv.weight", "model.norm.weight", "output.weight"])
def test_missing_weights_are_named(tmp_path: Path, lost: str) -> None:
    from safetensors.torch import load_file, save_file

    source = tiny_models.internlm2(tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    del weights[lost]
    save_file(weights, source / "model.safetensors")
    with pytest.raises(ModelError, match="are missing"):
        convert.convert(source, tmp_path / "new")


def test_a_reward_model_is_refused(tmp_path: Path) -> None:
    source = tiny_models.internlm2(tmp_path / "source", architectures=["InternLM2ForRewardModel"])
    with pytest.raises(ModelError, match="InternLM2ForRewardModel"):
        convert.convert(source, tmp_path / "new")


@pytest.fixture(scope="module", params=["as it is", "space before"])
def sentencepiece_model(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """As InternLM2's: BPE with bytes for what it does not know, spaces kept as they are, unused pieces.

    "space before": as the first InternLM's, which puts a space before a text.
    """
    from sentencepiece import SentencePieceTrainer

    folder = tmp_path_factory.mktemp("sentencepiece")
    text = [*(tiny_models.ROOT / "LICENSE").read_text("utf-8").splitlines(), *(tiny_models.CHINESE.splitlines() * 20)]
    SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_prefix=str(folder / "tokenizer"), vocab_size=1200, model_type="bpe",
        byte_fallback=True, character_coverage=0.999, add_dummy_prefix=request.param == "space before",
        remove_extra_whitespaces=False,
        normalization_rule_name="identity", user_defined_symbols=["[UNUSED_1]", "[UNUSED_2]", "<eoh>"], minloglevel=2,
    )  # fmt: skip
    return folder / "tokenizer.model"


@pytest.mark.parametrize("bos", [True, False])
def test_a_sentencepiece_tokenizer(tmp_path: Path, sentencepiece_model: Path, bos: bool) -> None:
    from sentencepiece import SentencePieceProcessor
    from transformers import AutoTokenizer

    source = tiny_models.internlm2(tmp_path / "source", tokenizer=False)
    (source / "tokenizer.model").write_bytes(sentencepiece_model.read_bytes())
    sp = SentencePieceProcessor(model_file=str(sentencepiece_model))
    first, second = sp.piece_to_id("[UNUSED_1]"), sp.piece_to_id("[UNUSED_2]")
    flags = {"special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
    added = {str(first): {"content": "<|im_start|>", **flags}, str(second): {"content": "<|im_end|>", **flags}}
    published = {
        "added_tokens_decoder": added, "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": bos,
        "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
        "tokenizer_class": "InternLM2Tokenizer",
    }  # fmt: skip
    (source / "tokenizer_config.json").write_text(json.dumps(published))
    convert.convert(source, tmp_path / "new")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "new", trust_remote_code=False)
    for text in ("Licensed under 合并模型  的\n\n", "你好 🦄 <eoh>\n然后 <eoh> ok", "a", "use it 部署。\tok"):
        assert tokenizer(text).input_ids == [1] * bos + sp.encode(text)
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text
    turn = tokenizer("<|im_start|>user\n你好<|im_end|>", add_special_tokens=False).input_ids
    whole = sp.encode("[UNUSED_1]user\n你好[UNUSED_2]")
    assert turn == whole[whole.index(first) :] and turn[-1] == second
    assert read_json(tmp_path / "new" / "generation_config.json")["eos_token_id"] == [2, second]
    assert read_json(tmp_path / "new" / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not (tmp_path / "new" / "tokenizer.model").exists()
