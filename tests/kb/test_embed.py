"""The embedder: what OpenVINO computes is what sentence-transformers computes, and the fingerprint tells models apart."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kb import embed
from kb.embed import load_embedder
from kb.embed_model import BUILTIN_SHA256, load_torch, locate
from kb.errors import ModelError
from kb.settings import load_settings

TEXTS = ["How do I deploy a model?", "用 LMDeploy 部署模型", "", "word " * 600, "--max-shard-size 2GB", "短"]


def test_vectors_equal_those_of_sentence_transformers(data_base: Path) -> None:
    settings = load_settings(data_base=data_base)
    embedder = load_embedder(settings)
    ours = embedder.passages(TEXTS)
    model = load_torch(locate(settings)[1], "cpu")
    model.max_seq_length = embedder.fingerprint.max_tokens
    theirs = model.encode(TEXTS, normalize_embeddings=True)
    assert ours.shape == (len(TEXTS), 384)
    assert ours.dtype == np.float32
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-3)
    assert (ours * theirs).sum(axis=1).min() > 0.999


def test_a_vector_does_not_depend_on_its_batch(data_base: Path) -> None:
    embedder = load_embedder(load_settings(data_base=data_base))
    together = embedder.passages(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert float(embedder.query(text) @ vector) > 0.999


def test_what_the_vocabulary_lacks_is_told(data_base: Path) -> None:
    embedder = load_embedder(load_settings(data_base=data_base))
    assert embedder.known("How do I deploy a model?") == 1
    assert embedder.known("怎么把显存放掉") < 0.6
    assert embedder.known("") == 0


def copy_of_builtin(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    shutil.copytree(locate(load_settings(data_base=tmp_path))[1], folder)
    return folder


def test_another_folder_is_another_fingerprint_and_an_edit_is_seen(tmp_path: Path, data_base: Path) -> None:
    folder = copy_of_builtin(tmp_path, "my-model")
    settings = load_settings(data_base=data_base, embed_model=str(folder))
    first = load_embedder(settings).fingerprint
    assert (first.model, first.dimension) == ("my-model", 384)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"edited": 1}))
    embed._load.cache_clear()
    second = load_embedder(settings).fingerprint
    assert (second.model, second.dimension) == (first.model, first.dimension)
    assert second.revision != first.revision
    prefixed = load_embedder(settings.model_copy(update={"query_prefix": "query: "})).fingerprint
    assert prefixed != second


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path: Path, data_base: Path) -> None:
    folder = copy_of_builtin(tmp_path, "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_embedder(load_settings(data_base=data_base, embed_model=str(folder)))


def test_a_model_that_is_not_there_is_one_sentence(data_base: Path) -> None:
    with pytest.raises(ModelError, match="No embedding model"):
        load_embedder(load_settings(data_base=data_base, embed_model="/no/such/folder"))


def test_the_packaged_model_is_the_published_one(data_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(BUILTIN_SHA256) == 64
    monkeypatch.setattr("kb.embed_model.BUILTIN_SHA256", "0" * 64)
    monkeypatch.setattr("kb.embed_model._WITH_THE_APP", data_base / "not set up")
    embed._load.cache_clear()
    other = data_base.parent / "elsewhere"
    with pytest.raises(ModelError, match="is not the published"):
        load_embedder(load_settings(data_base=other))
