"""Pages in two languages, what they teach, and passages that say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.catalog import DocumentInfo
from kb.fold import Passage, fold
from kb.glossary import Glossary, mine
from kb.places import Places, lies_in
from kb.records import Chunk
from kb.twins import aligned_lines, are_twins, chinese_share, page_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("docs/en/get_started.md", "docs/zh_cn/get_started.md"),
        ("README.md", "README_zh-CN.md"),
        ("a/install.md", "a/install_CN.md"),
        ("guide.md", "guide.zh-CN.md"),
        ("xquad-en-3-1", "xquad-zh-3-1"),
    ],
)
def test_twins_have_the_same_page(one: str, other: str) -> None:
    assert page_of(one) == page_of(other)


def test_other_pages_do_not() -> None:
    paths = ["docs/en/a.md", "docs/en/b.md", "README.md", "docs/README.md", "length.md", "encoder.md", "agent/chinese.md"]
    assert len({page_of(path) for path in paths}) == len(paths)


def test_what_tells_is_that_one_has_many_times_more_chinese() -> None:
    code = "pip install lmdeploy\n" * 20
    assert are_twins(chinese_share(code + "安装之后就可以使用了，请看下一页的说明"), chinese_share(code + "then go on"))
    assert not are_twins(chinese_share("安装"), chinese_share("量化"))
    assert not are_twins(chinese_share("install"), chinese_share("quantise"))


ENGLISH = """# Quantise

Run `lmdeploy lite auto_awq` first.

```shell
lmdeploy lite auto_awq
```

A paragraph that the other page lacks.

| flag | meaning |
|---|---|
| --tp | number of GPUs |

## Memory

It needs 8 GB of memory.
"""
CHINESE = """# 量化

先运行 `lmdeploy lite auto_awq`。

```shell
lmdeploy lite auto_awq
```

| 参数 | 含义 |
|---|---|
| --tp | GPU 的数量 |

## 显存

需要 8 GB 显存。
"""


def test_lines_are_aligned_by_what_translations_leave_alone() -> None:
    pairs = dict(aligned_lines(CHINESE, ENGLISH))
    assert pairs["# 量化"] == "# Quantise"
    assert pairs["## 显存"] == "## Memory"
    assert pairs["| --tp | GPU 的数量 |"] == "| --tp | number of GPUs |"
    assert pairs["需要 8 GB 显存。"] == "It needs 8 GB of memory."
    assert not any("auto_awq" in line and line.startswith("lmdeploy") for line in pairs), "code is no pair"


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_are_aligned_in_order(one: str, other: str) -> None:
    pairs = aligned_lines(one, other)
    for side, text in zip(zip(*pairs, strict=True), (one, other), strict=False):
        stripped = [line.strip() for line in text.split("\n")]
        at = -1
        for line in side:
            at = stripped.index(line, at + 1)


PAIRS = [
    ("量化模型", "quantization of a model"),
    ("部署模型", "deployment of a model"),
    ("量化需要显存", "quantization needs memory"),
    ("部署需要显存", "deployment needs memory"),
    ("评测量化模型", "evaluation after quantization of the model"),
    ("评测部署", "evaluation after deployment"),
    ("显存不够", "memory runs out"),
    ("评测模型", "evaluation of a model"),
]


def test_a_glossary_learns_which_word_stands_where_which_other_stands() -> None:
    glossary = mine(PAIRS * 3)
    first = {word: others[0][0] for word, others in glossary.to_english.items()}
    assert {word: first.get(word) for word in ("量化", "部署", "评测", "显存")} == {
        "量化": "quantization",
        "部署": "deployment",
        "评测": "evaluation",
        "显存": "memory",
    }
    assert glossary.to_chinese["memory"][0][0] == "显存"


def test_what_the_chinese_line_says_in_english_explains_itself() -> None:
    glossary = mine([("用 lmdeploy 部署", "deployment with lmdeploy")] * 4)
    assert "lmdeploy" not in glossary.to_chinese


def test_nothing_teaches_nothing() -> None:
    assert mine([]) == mine([("只有中文", ""), ("", "only English")]) == Glossary()


def passage(key: str, text: str, score: float, ordinal: int = 0, chunks: int = 4) -> Passage:
    info = DocumentInfo(key, "docs", f"{key}.md", key, 100, chunks, ())
    return Passage(Chunk(f"{key}-{ordinal}", key, ordinal, (), 1, 2, text), info, score)


def test_twins_at_the_same_place_become_one_in_the_language_of_the_question() -> None:
    twins = {"en": "zh", "zh": "en"}
    ranked = [passage("en", "How to quantise", 1.0), passage("x", "else", 0.9), passage("zh", "怎么量化模型权重", 0.8)]
    [first, second] = fold(ranked, twins, chinese=True)
    assert (first.info.key, first.also) == ("zh", ["en.md"])
    assert first.score > 1.0
    assert second.info.key == "x"
    assert fold(ranked, twins, chinese=False)[0].info.key == "en"
    assert fold(ranked, twins, chinese=False)[0].also == ["zh.md"]


def test_a_twin_that_is_much_worse_does_not_stand_for_the_better() -> None:
    twins = {"en": "zh", "zh": "en"}
    [only] = fold([passage("en", "How to quantise", 1.0), passage("zh", "怎么量化模型权重", 0.1)], twins, chinese=True)
    assert only.info.key == "en"


def test_other_places_of_a_twin_stay() -> None:
    twins = {"en": "zh", "zh": "en"}
    assert len(fold([passage("en", "How", 1.0, 0), passage("zh", "怎么", 0.8, 3)], twins, chinese=True)) == 2


def test_copies_of_a_passage_become_one() -> None:
    text = "pip install lmdeploy and then go on\nand a second line that is long enough"
    [only] = fold([passage("a", text, 1.0), passage("b", text, 0.9), passage("c", text, 0.8)], {}, chinese=False)
    assert only.also == ["b.md", "c.md"]
    assert len(fold([passage("a", text, 1.0, 0), passage("a", text, 0.9, 1)], {}, chinese=False)) == 2, "of one document: no"


def test_places_are_whole_names() -> None:
    places = Places({("docs", "xtuner"), ("docs", "internlm"), ("lagent", "docs")})
    assert places.named("How do I merge in XTuner?") == {"xtuner"}
    assert places.named("deploy internlm2 or internlm-7b") == frozenset()
    assert places.named("xtuner 和 lagent 有什么区别") == {"xtuner", "lagent"}
    assert places.named("where are the docs?") == frozenset(), "a folder that every project has"
    assert lies_in(frozenset({"xtuner"}), "docs", "xtuner/README.md")
    assert lies_in(frozenset({"lagent"}), "Lagent", "README.md")
    assert not lies_in(frozenset({"xtuner"}), "docs", "lmdeploy/README.md")
    assert Places(set()).named("anything") == frozenset()
