"""A reranker puts the passages in order: a tiny CrossEncoder that was taught to like one word."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import kb
from kb.embed_model import locate
from kb.records import Done, Found, under_headings
from kb.rerank import load_reranker
from tests.kb.conftest import PAGES
from tests.kb.test_answer import events_of

LIKED = "debug"
QUESTION = "On which port does the server listen?"


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores a pair by whether LIKED stands in it; trained here, of 2 layers and 32 dimensions, on the CPU."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("reranker")
    words = sorted(set(re.findall(r"[a-z0-9]+|[^\sa-z0-9]", " ".join(PAGES.values()).lower() + QUESTION.lower())))
    (folder / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words)), "utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=128)
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(vocab_size=len(words) + 5, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                   num_labels=1, max_position_embeddings=128, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    )  # fmt: skip
    texts = [part for page in PAGES.values() for part in page.split("## ")]
    batch = tokenizer([QUESTION] * len(texts), texts, padding=True, truncation=True, return_tensors="pt")
    liked = torch.tensor([[float(LIKED in text)] for text in texts])
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(**batch).logits, liked).backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert (folder / "model.safetensors").is_file()
    return folder


def test_the_order_and_the_scores_are_the_rerankers(base: kb.KnowledgeBase, reranker: Path) -> None:
    from sentence_transformers import CrossEncoder

    plain = base.search(QUESTION)
    assert LIKED not in plain.hits[0].chunk.text
    found = kb.KnowledgeBase(base.name, base.settings.model_copy(update={"reranker": str(reranker)})).search(QUESTION)
    assert LIKED in found.hits[0].chunk.text
    assert {hit.chunk.id for hit in found.hits} == {hit.chunk.id for hit in plain.hits}
    assert found.confidence == plain.confidence
    theirs = CrossEncoder(str(reranker), device="cpu").predict([(QUESTION, under_headings(h.title, h.chunk)) for h in found.hits])
    assert [hit.score for hit in found.hits] == pytest.approx([float(score) for score in theirs], abs=1e-4)
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
    assert [hit.n for hit in found.hits] == list(range(1, len(found.hits) + 1))


def test_it_reads_more_than_are_wanted(base: kb.KnowledgeBase, reranker: Path) -> None:
    settings = base.settings.model_copy(update={"reranker": str(reranker), "top_k": 1})
    [hit] = kb.KnowledgeBase(base.name, settings).search(QUESTION).hits
    assert LIKED in hit.chunk.text
    shallow = settings.model_copy(update={"rerank_depth": 1})
    [hit] = kb.KnowledgeBase(base.name, shallow).search(QUESTION).hits
    assert LIKED not in hit.chunk.text


def test_the_answer_cites_what_it_puts_first(base: kb.KnowledgeBase, reranker: Path) -> None:
    settings = base.settings.model_copy(update={"reranker": str(reranker)})
    found, *_, done = events_of(kb.KnowledgeBase(base.name, settings), QUESTION)
    assert isinstance(found, Found)
    assert isinstance(done, Done)
    assert LIKED in found.hits[0].chunk.text
    assert done.quotes[0].n == 1
    assert "print the log" in done.text


def refused(reranker: str) -> str:
    with pytest.raises(kb.ModelError) as caught:
        load_reranker(kb.load_settings(reranker=reranker, embed_device="cpu"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_safe_reranker_is_refused_in_a_sentence(reranker: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(reranker, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "safetensors" in refused(str(pickled))
    assert "No reranker in /no/such/folder" in refused("/no/such/folder")
    _, embedder = locate(SimpleNamespace(embed_model="builtin"))  # type: ignore[arg-type]
    assert "is not a reranker" in refused(str(embedder))
    damaged = tmp_path / "damaged"
    shutil.copytree(reranker, damaged)
    (damaged / "model.safetensors").write_bytes(b"no tensors")
    assert "that can be loaded" in refused(str(damaged))


def test_without_one_nothing_is_loaded() -> None:
    assert load_reranker(kb.load_settings()) is None
