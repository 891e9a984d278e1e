"""Tiny random models in the layouts that are published, for tests that need real folders.

Three layers, hidden size 128, a byte-level BPE of 1,200 pieces, grouped queries. `lm_head` is scaled by 25, for a random head of
the usual size hardly moves under LoRA, so nothing could be learned.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = 1200
SPECIAL = (
    "<unk>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|plugin|>",
    "<|interpreter|>",
    "<|action_start|>",
    "<|action_end|>",
)
SHAPE = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
CHINESE = (
    "我是书生·浦语的小助手，很高兴为你服务。请介绍一下你自己。使用下面的命令合并模型，合并之后的模型可以直接用于部署。"
    "用 QLoRA 微调 7B 模型只需要 8GB 显存。知识库里有什么？怎么量化一个模型？上海人工智能实验室。\n"
)


def llama(folder: Path, seed: int = 0, dtype: str = "float32", **config: Any) -> Path:
    """A LlamaForCausalLM. `config` replaces values of config.json."""
    values = _common(dtype) | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "mlp_bias": False,
        "head_dim": 32,
        "rope_theta": 10000.0,
        "rope_scaling": None,
    }
    values |= config
    names = {
        "embed": "model.embed_tokens", "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
        "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
        "before": "input_layernorm", "after": "post_attention_layernorm", "head": "lm_head",
    }  # fmt: skip
    return _write(folder, values, names, seed, values["attention_bias"])


def internlm2(folder: Path, seed: int = 0, dtype: str = "float32", tokenizer: bool = True, **config: Any) -> Path:
    """An InternLM2ForCausalLM as it is published: wqkv in one, remote code named and lying beside it."""
    values = _common(dtype) | {
        "architectures": ["InternLM2ForCausalLM"],
        "attn_implementation": "eager",
        "auto_map": {
            "AutoConfig": "configuration_internlm2.InternLM2Config",
            "AutoModel": "modeling_internlm2.InternLM2ForCausalLM",
            "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM",
        },
        "bias": False,
        "model_type": "internlm2",
        "pretraining_tp": 1,
        "rope_scaling": {"type": "dynamic", "factor": 2.0},
        "rope_theta": 1000000,
    }
    values |= config
    names = {
        "embed": "model.tok_embeddings", "qkv": "attention.wqkv", "o": "attention.wo", "gate": "feed_forward.w1",
        "up": "feed_forward.w3", "down": "feed_forward.w2", "before": "attention_norm", "after": "ffn_norm", "head": "output",
    }  # fmt: skip
    _write(folder, values, names, seed, values["bias"], tokenizer)
    for name in ("modeling_internlm2.py", "configuration_internlm2.py"):
        (folder / name).write_text("raise RuntimeError('remote code ran')\n")
    return folder


def internlm(folder: Path, seed: int = 0, dtype: str = "float32", tokenizer: bool = True, **config: Any) -> Path:
    """An InternLMForCausalLM, the first generation: Llama's names, biases in the attention, every head its own keys."""
    values = _common(dtype) | {
        "architectures": ["InternLMForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_internlm.InternLMForCausalLM"},
        "bias": True,
        "model_type": "internlm",
        "rotary": {"base": 10000, "type": "dynamic"},
    }
    values |= {"num_key_value_heads": values["num_attention_heads"]} | config
    names = {
        "embed": "model.embed_tokens", "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
        "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
        "before": "input_layernorm", "after": "post_attention_layernorm", "head": "lm_head",
    }  # fmt: skip
    _write(folder, values, names, seed, values["bias"], tokenizer)
    config_path = folder / "config.json"
    published = json.loads(config_path.read_text("utf-8"))
    del published["num_key_value_heads"]
    config_path.write_text(json.dumps(published, indent=2), "utf-8")
    return folder


def _common(dtype: str) -> dict[str, Any]:
    return SHAPE | {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "pad_token_id": 2,
        "rms_norm_eps": 1e-05,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
        "transformers_version": "4.41.0",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    }


def _write(folder: Path, config: dict[str, Any], names: dict[str, str], seed: int, bias: bool, tokenizer: bool = True) -> Path:
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, config["torch_dtype"])
    hidden, inner, head = (
        config["hidden_size"],
        config["intermediate_size"],
        config["hidden_size"] // config["num_attention_heads"],
    )
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head

    def some(*shape: int, scale: float = 0.02) -> "torch.Tensor":
        return (torch.randn(shape, generator=generator) * scale).to(dtype)

    shapes = {"q": (queries, hidden), "k": (keys, hidden), "v": (keys, hidden), "qkv": (queries + 2 * keys, hidden),
              "o": (hidden, queries), "gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}  # fmt: skip
    tensors = {f"{names['embed']}.weight": some(config["vocab_size"], hidden, scale=1.0)}
    for n in range(config["num_hidden_layers"]):
        for part, shape in shapes.items():
            if part in names:
                tensors[f"model.layers.{n}.{names[part]}.weight"] = some(*shape, scale=0.08)
            if part in names and bias and part in ("q", "k", "v", "qkv", "o"):
                tensors[f"model.layers.{n}.{names[part]}.bias"] = some(shape[0], scale=0.1)
        for part in ("before", "after"):
            tensors[f"model.layers.{n}.{names[part]}.weight"] = 1 + some(hidden, scale=0.1)
    tensors["model.norm.weight"] = 1 + some(hidden, scale=0.1)
    if not config["tie_word_embeddings"]:
        tensors[f"{names['head']}.weight"] = some(config["vocab_size"], hidden, scale=0.02 * 25)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _json(folder / "config.json", config)
    _json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2})
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# A tiny model for tests\n", "utf-8")
    if tokenizer:
        write_tokenizer(folder)
    return folder


@cache
def _tokenizer() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([(ROOT / "LICENSE").read_text("utf-8"), CHINESE * 20], trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY
    return str(tokenizer.to_str())


def write_tokenizer(folder: Path) -> None:
    """A tokenizer that transformers 4 and 5 read alike."""
    (folder / "tokenizer.json").write_text(_tokenizer(), "utf-8")
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    _json(
        folder / "tokenizer_config.json",
        special
        | {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "additional_special_tokens": [token for token in SPECIAL if token.startswith("<|")],
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": 512,
        },
    )
    _json(folder / "special_tokens_map.json", special)


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")
