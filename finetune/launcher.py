"""Runs a tool of XTuner. Started by the Python of XTuner's own environment, so it imports nothing of ours.

    launcher.py [--pause FILE] train CONFIG --work-dir DIR [--resume CHECKPOINT]
    launcher.py pth_to_hf CONFIG CHECKPOINT FOLDER …
    launcher.py merge BASE ADAPTER FOLDER …

The exit code is the tool's; 4 when FILE appeared, a checkpoint was saved and the training ended. What it changes in the tool, and
why, stands at each change: `xtuner` the command hides exit codes, and the tool expects a card, a network and remote code.
"""

import importlib.util
import runpy
import sys
import types
from pathlib import Path
from typing import Any

PAUSED = 4
_TOOLS = {"train": "train.py", "pth_to_hf": "model_converters/pth_to_hf.py", "merge": "model_converters/merge.py"}


def main(argv: list[str]) -> None:
    pause = None
    if argv[:1] == ["--pause"]:
        pause, argv = Path(argv[1]), argv[2:]
    tool, args = argv[0], argv[1:]
    _prepare_libraries()
    _refuse_remote_code(keep_dtype=tool == "merge")
    if tool == "train":
        _prepare_training(pause)
    spec = importlib.util.find_spec("xtuner")
    if spec is None or spec.origin is None:
        raise SystemExit("XTuner is not installed in this environment.")
    script = Path(spec.origin).parent / "tools" / _TOOLS[tool]
    sys.argv = [str(script), *args]
    runpy.run_path(str(script), run_name="__main__")


def _prepare_libraries() -> None:
    import torch

    if torch.cuda.is_available():
        return
    # XTuner asks it of "the device's module", and torch's module for the processor has none.
    torch.cpu.is_bf16_supported = lambda *_, **__: False  # type: ignore[attr-defined]
    import datasets  # noqa: F401 - these look for torchvision when they are imported, and must not find the stand-in
    import peft  # noqa: F401
    import transformers  # noqa: F401

    if importlib.util.find_spec("torchvision") is None:
        # XTuner imports it for pictures, which are not taught here.
        names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
        for name in names:
            sys.modules[name] = _Stub(name)


class _Stub(types.ModuleType):
    """A module that has whatever is imported from it, and none of it does anything."""

    __version__ = "0"  # which mmengine writes into its log

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _refuse_remote_code(keep_dtype: bool) -> None:
    """XTuner passes trust_remote_code=True throughout; a model folder's code does not run here. Its merge loads everything in
    float16, in which a model of another type loses: `keep_dtype` leaves it in its own."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    for kind in (AutoConfig, AutoModelForCausalLM, AutoTokenizer):
        load = kind.from_pretrained

        def from_pretrained(*args: Any, _load: Any = load, _kind: Any = kind, **kwargs: Any) -> Any:
            kwargs |= {"trust_remote_code": False, "local_files_only": True}
            if keep_dtype and _kind is AutoModelForCausalLM:
                kwargs["torch_dtype"] = "auto"
            return _load(*args, **kwargs)

        kind.from_pretrained = from_pretrained  # type: ignore[method-assign]


def _prepare_training(pause: Path | None) -> None:
    import torch
    from mmengine.runner import Runner
    from xtuner.dataset import utils as data
    from xtuner.engine.hooks import EvaluateChatHook
    from xtuner.model import sft

    ids = data.get_bos_eos_token_ids

    def ids_or_none(tokenizer: Any) -> tuple[list[int], list[int]]:
        """A tokenizer without a first token (Qwen's) gives None, which XTuner cannot add to a list."""
        first, last = ids(tokenizer)
        return first or [], last or []

    data.get_bos_eos_token_ids = ids_or_none

    generate = EvaluateChatHook._generate_samples

    def generate_and_save(self: Any, runner: Any, max_new_tokens: Any = None, save_eval_output: bool = True) -> None:
        """It saves what the model says only where it saves a checkpoint."""
        generate(self, runner, max_new_tokens, save_eval_output=True)

    EvaluateChatHook._generate_samples = generate_and_save

    prepare = sft.prepare_model_for_kbit_training

    def prepare_model(model: Any, *args: Any, **kwargs: Any) -> Any:
        """For weights that are not quantised it would make float32 of them all: twice the memory on a card."""
        if getattr(model, "is_loaded_in_4bit", False) or not torch.cuda.is_available():
            return prepare(model, *args, **kwargs)
        for parameter in model.parameters():
            parameter.requires_grad = False
        return model

    sft.prepare_model_for_kbit_training = prepare_model

    if pause is not None:
        train = Runner.train

        def train_with_pause(self: Any) -> Any:
            self.register_hook(_pause_hook(pause), priority="VERY_LOW")
            return train(self)

        Runner.train = train_with_pause


def _pause_hook(file: Path) -> Any:
    from mmengine.hooks import Hook

    class PauseHook(Hook):
        def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
            if not file.exists():
                return
            number = runner.iter + 1
            runner.save_checkpoint(runner.work_dir, f"iter_{number}.pth", by_epoch=False)
            saved = Path(runner.work_dir, f"iter_{number}.pth")
            saved.with_name("last_checkpoint").write_text(str(saved))  # as CheckpointHook does, and when it is whole
            print(f"Paused after iteration {number}.", flush=True)
            raise SystemExit(PAUSED)

    return PauseHook()


if __name__ == "__main__":
    main(sys.argv[1:])
