"""A question in the other language: by what the twins teach, and by the dictionary."""

from collections.abc import Callable
from pathlib import Path

import pytest

import ingest
import kb
from kb import dictionary
from kb.glossary import Glossary
from kb.translate import WIDENED, Translator

TAUGHT = Glossary({"量化": [("quantization", 0.8)]}, {"quantization": [("量化", 0.8)], "deployment": [("部署", 0.5)]})


def among(**counts: int) -> Callable[[str], int]:
    return lambda word: counts.get(word, 0)


def test_the_dictionary_knows_both_ways() -> None:
    assert dictionary.english("微调")["tuning"] == 0.5  # "fine tuning" gives each of its words a half
    assert dictionary.english("下载") == {"download": 1.0}
    assert dictionary.chinese("downloads") == dictionary.chinese("download")
    assert dictionary.chinese("download")["下载"] == 1.0
    assert not dictionary.english("量子化学家们") and not dictionary.chinese("turbomind")


def test_a_package_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Path:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(dictionary, "files", missing)
    dictionary._entries.cache_clear()
    with pytest.raises(kb.KBError, match="make setup"):
        dictionary.english("没有查过的词")


def test_senses_that_translate_nothing_are_left_out() -> None:
    words = dictionary.english("卡")
    assert {"card", "truck", "block"} <= words.keys()
    assert not {"cl", "pr", "taiwan"} & words.keys()
    assert all(0 < worth <= 1 for worth in words.values())
    assert not any(word in dictionary.chinese("center") for word in ("中", "的"))  # words that carry no topic


def test_what_the_documents_teach_comes_before_the_dictionary() -> None:
    translator = Translator(TAUGHT, among(quantization=5, quantify=5), chinese=0.5)
    assert translator.translations("量化") == [("quantization", 0.8)]
    assert translator.translations("quantization") == [("量化", 0.8)]


def test_of_the_dictionary_only_what_the_documents_have() -> None:
    translator = Translator(Glossary(), among(environment=6, circumstance=1, 环境=2), chinese=0.5)
    found = dict(translator.translations("环境"))
    assert found.keys() == {"environment", "circumstance"}
    assert found["environment"] == 0.75  # of eight chunks that have either, six have this one
    assert found["circumstance"] < 0.4
    assert translator.translations("下载") == []


@pytest.mark.parametrize(("chinese", "english_too", "chinese_too"), [(0.0, True, False), (0.5, True, True), (1.0, False, True)])
def test_only_into_languages_that_the_documents_are_in(chinese: float, english_too: bool, chinese_too: bool) -> None:
    translator = Translator(Glossary(), among(download=3, 下载=3), chinese)
    assert bool(translator.translations("下载")) is english_too
    assert bool(translator.translations("download")) is chinese_too
    assert translator.in_english("下载 lmdeploy") == (("download lmdeploy", 1.0) if english_too else ("lmdeploy", 0.0))


def test_without_the_dictionary() -> None:
    translator = Translator(TAUGHT, among(download=3))
    assert translator.translations("下载") == []
    assert translator.in_english("lmdeploy 怎么量化") == ("lmdeploy quantization", 1.0)
    assert translator.in_english("量化下载") == ("quantization", 0.5)
    assert Translator(Glossary(), among()).in_english("显存") == ("", 0.0)


def test_stop_words_are_put_into_english_but_say_nothing() -> None:
    translator = Translator(Glossary(), among(go=9, use=9, moon=0), chinese=0.0)
    assert translator.in_english("用月亮") == ("use", 0.0)  # so the question is read as it was asked


def test_a_translation_stands_beside_a_word_or_in_its_place() -> None:
    beside = Translator(TAUGHT, among(量化=1), 0.5).widened({"量化": 1.0, "deployment": 0.5, "lmdeploy": 1.0})
    assert beside == {"量化": 1.0, "deployment": 0.5, "lmdeploy": 1.0, "quantization": WIDENED * 0.8, "部署": 0.5 * 0.5}
    assert Translator(TAUGHT, among(), 0.5).widened({"量化": 1.0})["quantization"] == 0.8


def test_a_chinese_question_finds_its_page_among_english_ones(tmp_path: Path) -> None:
    pages = {
        "environment.md": "# Settings\n\nEnvironment variables are read at start; a variable that is missing has a default.",
        "download.md": "# Offline\n\nDownload the weights first, then start without a network.",
        "vote.md": "# Votes\n\nSeveral samples are drawn and the majority vote decides.",
    }
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    settings = kb.load_settings(data_base=tmp_path / "base")
    ingest.add_source(settings, "english", folder)
    ingest.reindex("english", settings)
    base = kb.KnowledgeBase.open("english", settings)
    first = {
        question: base.search(question).hits[0].path for question in ("环境变量在哪里设置", "没有网络怎么下载权重", "怎么投票")
    }
    assert list(first.values()) == ["environment.md", "download.md", "vote.md"]
