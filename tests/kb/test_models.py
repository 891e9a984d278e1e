"""Model folders: added, registered, checked, removed; what is refused leaves nothing."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kb import models
from kb.errors import ModelError
from kb.model_config import settled_config, settled_tokenizer
from kb.settings import Settings, load_settings
from tests import tiny_models


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    tiny_models.llama(folder / "llama", dtype="bfloat16")
    tiny_models.internlm2(folder / "internlm2", dtype="float16")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_base=tmp_path / "data_base")


def copy(made: Path, tmp_path: Path, name: str = "llama") -> Path:
    return Path(shutil.copytree(made / name, tmp_path / name))


def nothing_left(settings: Settings) -> bool:
    root = models.models_root(settings)
    return models.list_models(settings) == [] and [path.name for path in root.glob("*") if path.name != ".locks"] == []


def test_a_model_is_added_with_its_card(settings: Settings, made: Path, tmp_path: Path) -> None:
    source = copy(made, tmp_path)
    (source / "modeling_own.py").write_text("raise RuntimeError")
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    (source / "runs").mkdir()
    told: list[Any] = []
    card = models.add_model(settings, source, "小模型", told.append)
    assert (card.name, card.origin, card.architecture) == ("小模型", f"folder {source}", "LlamaForCausalLM")
    assert (card.template, card.dtype, card.licence) == ("internlm2", "bfloat16", "apache-2.0")
    assert (card.context, card.vocabulary, card.parameters, card.bytes) == (512, 1200, 750464, 2 * 750464)
    folder = models.model_folder(settings, "小模型")
    assert {path.name for path in folder.iterdir()} == {*card.files, "card.json"}
    assert "model.safetensors" in card.files and not any(name.endswith((".py", ".bin")) for name in card.files)
    assert models.get_model(settings, "小模型") == card and models.list_models(settings) == [card]
    assert {one.stage for one in told} == {"copy", "check"} and all(one.done <= one.total for one in told)
    with pytest.raises(ModelError, match="already"):
        models.add_model(settings, source, "小模型")
    with pytest.raises(ModelError, match="小模型"):
        models.get_model(settings, "none")


def test_internlm2_is_converted_on_the_way_in(settings: Settings, made: Path) -> None:
    card = models.add_model(settings, made / "internlm2")
    assert card.how == {"step": "convert", "from": "internlm2"}
    assert (card.architecture, card.template, card.dtype) == ("LlamaForCausalLM", "internlm2", "float16")
    assert card.licence == "apache-2.0" and card.parameters == 750464
    assert models.check_model(settings, card.name) == []


def test_adding_twice_gives_the_same_bytes(settings: Settings, made: Path) -> None:
    for name in ("llama", "internlm2"):
        one, two = (models.add_model(settings, made / name, f"{name}{n}") for n in range(2))
        assert one.files == two.files


@pytest.mark.parametrize(
    ("family", "template"),
    [("internlm3", "internlm3"), ("qwen3", "qwen3"), ("qwen2", "chatml"), ("internlm2", "internlm2"), ("mistral", "file")],
)
def test_templates(settings: Settings, made: Path, tmp_path: Path, family: str, template: str) -> None:
    source = copy(made, tmp_path)
    change(source / "config.json", model_type=family)
    if template == "file":
        text = (source / "tokenizer.json").read_text().replace("<|action_start|>", "<|other|>")
        (source / "tokenizer.json").write_text(text)
        change(source / "tokenizer_config.json", chat_template="{{ messages }}")
    if family != "internlm2":
        assert models.add_model(settings, source).template == template


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values, ensure_ascii=False), "utf-8")


def no_weights(source: Path) -> None:
    (source / "model.safetensors").rename(source / "pytorch_model.bin")


def link_out(source: Path) -> None:
    shutil.move(source / "model.safetensors", source.parent / "elsewhere.safetensors")
    (source / "model.safetensors").symlink_to(source.parent / "elsewhere.safetensors")


def cut_short(source: Path) -> None:
    os.truncate(source / "model.safetensors", 100_000)


def foreign_shard(source: Path) -> None:
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))


def lost_shard(source: Path) -> None:
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-00001.safetensors"}}))


def adapter(source: Path) -> None:
    (source / "config.json").rename(source / "adapter_config.json")


def no_tokenizer(source: Path) -> None:
    (source / "tokenizer.json").unlink()


def no_json(source: Path) -> None:
    (source / "config.json").write_text("[1, 2")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_weights, "save_pretrained"), (link_out, "leads out"), (cut_short, "cut short"), (foreign_shard, "which file holds"),
        (lost_shard, "lacks model-00001"), (adapter, "merge it"), (no_tokenizer, "no tokenizer"), (no_json, "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_nothing(settings: Settings, made: Path, tmp_path: Path, damage: Any, says: str) -> None:
    source = copy(made, tmp_path)
    damage(source)
    with pytest.raises(ModelError, match=says):
        models.add_model(settings, source)
    assert nothing_left(settings)


@pytest.mark.parametrize("name", ["..", "a/b", ".x", "embedding", "quotes", "endpoint", "x.part", "字" * 30])
def test_names_that_cannot_be(settings: Settings, made: Path, name: str) -> None:
    with pytest.raises(ModelError):
        models.add_model(settings, made / "llama", name)


def test_a_disk_that_is_too_small(settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10, used=9, free=1000))
    with pytest.raises(ModelError, match=r"needs 0\.3 GiB of room and has 0\.0"):
        models.add_model(settings, made / "llama")
    assert nothing_left(settings)


def test_what_a_killed_add_left_is_gone_with_the_next(settings: Settings, made: Path) -> None:
    part = models.part_folder(settings, "llama")
    part.mkdir(parents=True)
    (part / "model-00001.safetensors").write_text("half")
    assert models.list_models(settings) == []
    card = models.add_model(settings, made / "llama")
    assert "model-00001.safetensors" not in card.files and not part.exists()


def test_two_at_once(settings: Settings, made: Path) -> None:
    with models.building(settings, "llama"), pytest.raises(ModelError, match="another process"):
        models.add_model(settings, made / "llama")


def test_what_a_merge_registers(settings: Settings, made: Path) -> None:
    """Saved by transformers 5, with its tool's files beside it: it is cleaned, and takes its base's template."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = models.add_model(settings, made / "internlm2", "base")
    part = models.part_folder(settings, "merged")
    AutoModelForCausalLM.from_pretrained(models.model_folder(settings, "base")).save_pretrained(part)
    AutoTokenizer.from_pretrained(models.model_folder(settings, "base")).save_pretrained(part)
    (part / "xtuner_config.py").write_text("")
    (part / "logs").mkdir()
    how = {"step": "merge", "tune": "自我认知"}
    card = models.register(settings, part, "merged", origin="merge", made_from=("base",), how=how)
    assert (card.made_from, card.how, card.template, card.licence) == (("base",), how, base.template, base.licence)
    folder = models.model_folder(settings, "merged")
    assert {path.name for path in folder.iterdir()} == {*card.files, "card.json"} and not part.exists()
    config = json.loads((folder / "config.json").read_text())
    assert config["torch_dtype"] == config["dtype"] == "float16"
    assert config["rope_theta"] == 1000000 and config["rope_scaling"]["type"] == "dynamic"
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast" and "backend" not in tokenizer
    assert "extra_special_tokens" not in tokenizer and "<|im_start|>" in tokenizer["additional_special_tokens"]
    assert models.check_model(settings, "merged") == []
    ids = [
        AutoTokenizer.from_pretrained(models.model_folder(settings, name))("<|im_start|>你好").input_ids
        for name in ("base", "merged")
    ]
    assert ids[0] == ids[1]


def test_the_part_must_be_the_models_own(settings: Settings, made: Path) -> None:
    with pytest.raises(ModelError, match="put together"):
        models.register(settings, made / "llama", "merged", origin="merge")


def test_configurations_settle() -> None:
    """What is settled already stays as it is, and the names of both sides agree."""
    old = {"torch_dtype": "float16", "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}, "auto_map": {}}
    new = {"dtype": "float16", "rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}}
    assert settled_config(old) == settled_config(new) == settled_config(settled_config(old))
    assert settled_config({"rope_theta": 1e4})["rope_scaling"] is None
    by_layer = {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}
    assert settled_config(by_layer) == by_layer
    once = settled_tokenizer(
        {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<x>"], "backend": "tokenizers"}, True
    )
    assert once == {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": ["<x>"]}
    assert settled_tokenizer({"tokenizer_class": "Qwen2Tokenizer"}, True) == {"tokenizer_class": "Qwen2Tokenizer"}


def test_check_tells_what_changed(settings: Settings, made: Path) -> None:
    models.add_model(settings, made / "llama")
    folder = models.model_folder(settings, "llama")
    assert models.check_model(settings, "llama") == []
    (folder / "README.md").unlink()
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    (folder / "new.json").write_text("{}")

    told = [sentence.split(" ")[0] for sentence in models.check_model(settings, "llama")]
    assert told == ["README.md", "model.safetensors", "new.json"]


def test_check_tells_what_cannot_be_loaded(settings: Settings, made: Path, tmp_path: Path) -> None:
    source = copy(made, tmp_path)
    change(source / "config.json", vocab_size=1300)
    models.add_model(settings, source)
    assert any("[1200, 128]" in sentence and "[1300, 128]" in sentence for sentence in models.check_model(settings, "llama"))
    change(source / "config.json", vocab_size=1200, num_hidden_layers=4)
    models.add_model(settings, source, "four")
    assert any("9 weights are missing" in sentence for sentence in models.check_model(settings, "four"))


def test_a_damaged_card_is_not_listed(settings: Settings, made: Path, caplog: pytest.LogCaptureFixture) -> None:
    models.add_model(settings, made / "llama", "one")
    models.add_model(settings, made / "llama", "two")
    (models.model_folder(settings, "one") / "card.json").write_text("{")
    assert [card.name for card in models.list_models(settings)] == ["two"]
    assert "one" in caplog.text
    with pytest.raises(ModelError, match="damaged"):
        models.get_model(settings, "one")


def test_endpoints_keep_their_key_apart(settings: Settings) -> None:
    card = models.add_endpoint(settings, "server", "http://127.0.0.1:1/v1/", "internlm2", "s3cret")
    assert card.endpoint == models.Endpoint("http://127.0.0.1:1/v1", "internlm2") and card.architecture == ""
    folder = models.model_folder(settings, "server")
    assert (folder / "key").stat().st_mode & 0o777 == 0o600 and models.endpoint_key(settings, "server") == "s3cret"
    assert "s3cret" not in (folder / "card.json").read_text() + repr(models.get_model(settings, "server"))
    assert "does not answer" in models.check_model(settings, "server")[0]
    for url in ("", "server", "file:///etc", "http://", "http://me:key@host/v1", "http://h/v1?key=1"):
        with pytest.raises(ModelError, match="address"):
            models.add_endpoint(settings, "other", url)


def test_removing(settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = models.add_model(settings, made / "llama")
    monkeypatch.setitem(sys.modules, "kb.serving", SimpleNamespace(live_name=lambda _: "llama"))
    with pytest.raises(ModelError, match="answers now"):
        models.remove_model(settings, "llama")
    monkeypatch.setitem(sys.modules, "kb.serving", SimpleNamespace(live_name=lambda _: "quotes"))
    assert models.remove_model(settings, "llama") > card.bytes
    assert nothing_left(settings)
    with pytest.raises(ModelError, match="There is no model"):
        models.remove_model(settings, "llama")
