"""The XTuner config of a recipe: Python text, to be read and edited before the start, and the command lines it runs with."""

from pathlib import Path

from finetune.device import Device
from finetune.recipe import Recipe, Schedule
from finetune.templates import Template

_EVALUATION_TOKENS = {"cuda": 300, "cpu": 60}  # an answer on a processor takes long


def write_config(recipe: Recipe, schedule: Schedule, template: Template, model: Path, data: Path, on: Device) -> str:
    """The text of the config; see the comments in it."""
    cuda = on.kind == "cuda"
    number = "bfloat16" if on.bf16 else "float16" if cuda else "float32"
    # What EvaluateChatHook formats once more: braces of a system prompt would be fields.
    system = recipe.system.replace("{", "{{").replace("}", "}}")
    values = {
        "model": repr(str(model)),
        "data": repr(str(data)),
        "template": _template(template),
        "max_length": recipe.max_length,
        "packing": recipe.packing,
        "batch_size": recipe.batch_size,
        "accumulation": recipe.accumulation,
        "max_iters": schedule.total,
        "passes": f"{recipe.epochs:g} epochs of {schedule.per_epoch}" if not recipe.iterations else "as the recipe says",
        "warmup": schedule.warmup,
        "lr": repr(recipe.lr),
        "save_every": recipe.save_every,
        "keep": recipe.keep_checkpoints,
        "evaluate_every": recipe.evaluate_every,
        "prompts": "[" + ", ".join(map(repr, recipe.prompts)) + "]",
        "system": repr(system),
        "evaluation_tokens": _EVALUATION_TOKENS[on.kind],
        "number": number,
        "quantization": _QUANTIZATION.format(number=number) if recipe.method == "qlora" else "",
        "bnb": ", BitsAndBytesConfig" if recipe.method == "qlora" else "",
        "rank": recipe.rank,
        "alpha": recipe.alpha,
        "dropout": recipe.dropout,
        "wrapper": "AmpOptimWrapper" if cuda else "OptimWrapper",
        "amp": (_FP16 if not on.bf16 else _BF16) if cuda else "",
        "backend": "nccl" if cuda else "gloo",
        "seed": recipe.seed,
    }
    text = _TEXT
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _template(template: Template) -> str:
    pairs = {
        "SYSTEM": template.system,
        "INSTRUCTION": template.instruction,
        "SUFFIX": template.suffix,
        "SUFFIX_AS_EOS": True,  # the suffix ends an answer, no further token does
        "SEP": template.sep,
        "STOP_WORDS": list(template.stop_words),
    }
    return "dict(\n" + "".join(f"    {name}={value!r},\n" for name, value in pairs.items()) + ")"


_QUANTIZATION = """
        quantization_config=dict(
            type=BitsAndBytesConfig,
            load_in_4bit=True,
            llm_int8_threshold=6.0,
            llm_int8_has_fp16_weight=False,
            bnb_4bit_compute_dtype=torch.{number},
            bnb_4bit_use_double_quant=True,
            bnb_4bit_quant_type="nf4",
        ),"""
_BF16 = '\n    loss_scale=1.0,\n    dtype="bfloat16",'
_FP16 = '\n    loss_scale="dynamic",\n    dtype="float16",'
_TEXT = """\
# The XTuner config of this tune, written by InternKB. What is edited here runs as it stands here.
import torch
from datasets import load_dataset
from mmengine.dataset import DefaultSampler
from mmengine.hooks import CheckpointHook, DistSamplerSeedHook, IterTimerHook, LoggerHook, ParamSchedulerHook
from mmengine.optim import @wrapper@, CosineAnnealingLR, LinearLR
from peft import LoraConfig
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, AutoTokenizer@bnb@
from xtuner.dataset import process_hf_dataset
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.dataset.map_fns import template_map_fn_factory
from xtuner.engine.hooks import DatasetInfoHook, EvaluateChatHook
from xtuner.engine.runner import TrainLoop
from xtuner.model import SupervisedFinetune

# What is learned, and by whom
pretrained_model_name_or_path = @model@
data_path = @data@
prompt_template = @template@
max_length = @max_length@  # tokens; what is longer loses its end
pack_to_max_length = @packing@  # examples are laid end to end

# How long, and how fast
batch_size = @batch_size@
accumulative_counts = @accumulation@  # iterations a step of the optimizer
max_iters = @max_iters@  # @passes@
warmup_iters = @warmup@  # in iterations: a share of epochs that comes to less than 2 of them would keep lr at nothing
lr = @lr@
betas = (0.9, 0.999)
weight_decay = 0
max_norm = 1  # gradients are clipped to it

# What is kept, and what is asked on the way
save_steps = @save_every@
save_total_limit = @keep@
evaluation_freq = @evaluate_every@
SYSTEM = @system@
evaluation_inputs = @prompts@

tokenizer = dict(
    type=AutoTokenizer.from_pretrained,
    pretrained_model_name_or_path=pretrained_model_name_or_path,
    trust_remote_code=False,
    padding_side="right",
)

model = dict(
    type=SupervisedFinetune,
    llm=dict(
        type=AutoModelForCausalLM.from_pretrained,
        pretrained_model_name_or_path=pretrained_model_name_or_path,
        trust_remote_code=False,
        torch_dtype=torch.@number@,@quantization@
    ),
    lora=dict(type=LoraConfig, r=@rank@, lora_alpha=@alpha@, lora_dropout=@dropout@, bias="none", task_type="CAUSAL_LM"),
)

train_dataset = dict(
    type=process_hf_dataset,
    dataset=dict(type=load_dataset, path="json", data_files=dict(train=data_path)),
    tokenizer=tokenizer,
    max_length=max_length,
    dataset_map_fn=None,
    template_map_fn=dict(type=template_map_fn_factory, template=prompt_template),
    remove_unused_columns=True,
    shuffle_before_pack=True,
    pack_to_max_length=pack_to_max_length,
    map_num_proc=1,
)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    dataset=train_dataset,
    sampler=dict(type=DefaultSampler, shuffle=True),
    collate_fn=dict(type=default_collate_fn),
)

optim_wrapper = dict(
    type=@wrapper@,
    optimizer=dict(type=AdamW, lr=lr, betas=betas, weight_decay=weight_decay),
    clip_grad=dict(max_norm=max_norm, error_if_nonfinite=False),
    accumulative_counts=accumulative_counts,@amp@
)

param_scheduler = [
    dict(type=LinearLR, start_factor=1e-5, by_epoch=False, begin=0, end=warmup_iters),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]

train_cfg = dict(type=TrainLoop, max_iters=max_iters)

custom_hooks = [
    dict(type=DatasetInfoHook, tokenizer=tokenizer),
    dict(
        type=EvaluateChatHook,
        tokenizer=tokenizer,
        every_n_iters=evaluation_freq,
        evaluation_inputs=evaluation_inputs,
        system=SYSTEM,
        prompt_template=prompt_template,
        max_new_tokens=@evaluation_tokens@,
    ),
]

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, log_metric_by_epoch=False, interval=10),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=CheckpointHook, by_epoch=False, interval=save_steps, max_keep_ckpts=save_total_limit),
    sampler_seed=dict(type=DistSamplerSeedHook),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="@backend@"),
)
visualizer = None
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=@seed@, deterministic=False)
log_processor = dict(by_epoch=False)
"""
