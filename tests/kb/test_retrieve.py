"""Finding across two languages, in the place that is meant, and after a change of topic."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

import ingest
import kb
from kb.records import Done, Event, Turn, document_of
from kb.refusal import refusal
from kb.words import weighted_words
from kb.worth import apart

TOPICS = {
    "quantization": "量化",
    "deployment": "部署",
    "evaluation": "评测",
    "training": "训练",
    "conversation": "对话",
    "installation": "安装",
    "inference": "推理",
    "memory": "显存",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, models: Path) -> kb.KnowledgeBase:
    """Pages in both languages, some in one alone, in two repositories."""
    home, docs = tmp_path_factory.mktemp("retrieve"), tmp_path_factory.mktemp("docs")
    (home / "models").symlink_to(models)
    for english, chinese in TOPICS.items():
        for n in range(3):
            name = f"{english}{n}.md"
            write(docs / "alpha" / "en" / name, f"# {english.title()} {n}\n\nThe {english} of step {n} begins with `run-{n}`.\n")
            write(docs / "alpha" / "zh_cn" / name, f"# {chinese} {n}\n\n第 {n} 步的{chinese}从 `run-{n}` 开始。\n")
    write(docs / "alpha" / "en" / "only.md", "# Memory\n\nIf the memory does not suffice at inference, lower the cache share.\n")
    write(docs / "alpha" / "zh_cn" / "solo.md", "# 说明\n\n训练之前先把评测的数据放到 data 文件夹。\n")
    for place in ("alpha", "beta"):
        write(docs / place / "release.md", f"# Release\n\nA release of {place} is cut every second week by a robot.\n")
    settings = kb.load_settings(data_base=home)
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    return kb.KnowledgeBase.open("default", settings)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def paths(base: kb.KnowledgeBase, question: str, *history: str) -> list[str]:
    return [hit.path for hit in base.search(question, [Turn("user", text) for text in history]).hits]


def said(base: kb.KnowledgeBase, question: str, history: list[Turn]) -> str:
    async def last() -> Event:
        return [event async for event in kb.ask(question, history, base, base.settings)][-1]

    done = asyncio.run(last())
    assert isinstance(done, Done)
    return done.text


def test_the_glossary_is_learned_at_the_build(base: kb.KnowledgeBase) -> None:
    learned = base.snapshot().learned
    assert {word: learned.glossary.to_english[word][0][0] for word in TOPICS.values()} == {v: k for k, v in TOPICS.items()}
    assert not learned.due


def test_a_page_in_the_other_language_alone_is_found(base: kb.KnowledgeBase) -> None:
    question = "推理的时候显存不够怎么办"
    assert any(path.endswith("en/only.md") for path in paths(base, question))
    generation = base.snapshot()
    plain = [generation.chunks([id_])[id_].text for id_, _ in generation.by_words(weighted_words(question, ()), 50)]
    assert not any("cache share" in text for text in plain), "not by its own words"
    assert any(path.endswith("zh_cn/solo.md") for path in paths(base, "where does the data for evaluation go before training?"))


def test_both_languages_of_a_page_are_one_source(base: kb.KnowledgeBase) -> None:
    found = base.search("量化的第 2 步")
    assert found.hits[0].path.endswith("zh_cn/quantization2.md")
    assert found.hits[0].also == ("alpha/en/quantization2.md",)
    assert "alpha/en/quantization2.md" not in [hit.path for hit in found.hits]
    english = base.search("How does step 2 of the quantization begin?")
    assert english.hits[0].path.endswith("en/quantization2.md")


def test_the_place_that_is_named_comes_first(base: kb.KnowledgeBase) -> None:
    assert paths(base, "How often is there a release in beta?")[0] == "beta/release.md"
    assert paths(base, "How often is there a release in alpha?")[0] == "alpha/release.md"


def test_a_follow_up_takes_its_topic_along_until_that_changes(base: kb.KnowledgeBase) -> None:
    asked = "How does the deployment of step 1 begin?"
    assert paths(base, "and step 2?", asked)[0].endswith("deployment2.md")
    assert paths(base, "How often is a release cut by a robot?", asked)[0].endswith("release.md")


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("which cheese melts best upon pizza", "How does the deployment of step 1 begin?"),  # nothing found has its words
        (
            "memory inference lower",
            "# Deployment 1 The deployment of step 1 begins with run-1 alpha deployment1",
        ),  # not what is first
        ("which robot cuts a release every second week in beta?", "How does the deployment of step 1 begin?"),  # surer alone
    ],
)
def test_a_topic_of_its_own_is_asked_and_answered_without_the_history(base: kb.KnowledgeBase, question: str, asked: str) -> None:
    history = [Turn("user", asked), Turn("assistant", "…")]
    found, alone = base.search(question, history), base.search(question)
    assert (found.query, found.hits, found.confidence) == (question, alone.hits, alone.confidence)
    assert said(base, question, history) == said(base, question, [])


def test_a_reranker_reads_once_also_where_the_topic_changes(base: kb.KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def scores(question: str, passages: list[str]) -> list[float]:
        read.append(question)
        return [1 / (n + 1) for n in range(len(passages))]

    monkeypatch.setattr("kb.rerank.load_reranker", lambda settings: SimpleNamespace(depth=10, scores=scores))
    question = "Which cheese melts best upon pizza?"
    assert paths(base, question, "How does the deployment of step 1 begin?")
    assert read == [question]


def test_confidence_tells_what_is_there_from_what_is_not(base: kb.KnowledgeBase) -> None:
    there = base.search("How does the deployment of step 1 begin?").confidence
    foreign = base.search("How long do I boil eggs for breakfast?").confidence
    assert foreign < base.settings.refuse_below < there


def test_a_later_run_takes_what_was_learned_along(base: kb.KnowledgeBase) -> None:
    before = base.snapshot().learned
    [source] = base.sources()
    write(Path(source.path) / "alpha" / "more.md", "# More\n\nOne more page about nothing that was there before.\n")
    ingest.reindex("default", base.settings)
    after = base.snapshot().learned
    assert (after.glossary, after.calibration, after.changed) == (before.glossary, before.calibration, before.changed + 1)


def test_names_count_where_they_stand_together(base: kb.KnowledgeBase) -> None:
    snapshot = base.snapshot()
    every = sorted(snapshot.chunk_ids())
    assert apart([], every, snapshot) == 0
    assert apart(["memory"], every, snapshot) == pytest.approx(0, abs=1e-6)
    assert apart(["memory"], [], snapshot) == 1
    assert apart(["kafka"], every, snapshot) == 1  # in no document
    assert 0 < apart(["memory", "kafka"], every, snapshot) < 1
    assert 0 < apart(["alpha", "beta"], every, snapshot) < 1  # each in a passage of its own
    of_alpha = [id_ for id_ in every if "alpha" in snapshot.document(document_of(id_)).path]
    assert apart(["beta"], of_alpha, snapshot) == 1


def test_a_question_about_a_name_that_is_not_there_is_less_sure(base: kb.KnowledgeBase) -> None:
    known, other = (base.search(f"Where does the training of step 2 begin {where}?") for where in ("in Alpha", "in Kafka"))
    assert known.confidence > other.confidence
    assert "kafka" in refusal("the training of step 2 in Kafka", other, base.snapshot(), 1.0)
    beyond = refusal("the training of step 2 in Beta", base.search("the training of step 2"), base.snapshot(), 1.0)
    assert "Not in the passages that were found: beta." in beyond
