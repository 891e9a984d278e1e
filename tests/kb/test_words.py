import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.words import content_words, is_chinese, names, words


def test_flags_paths_and_versions_are_found_whole_and_in_parts() -> None:
    found = words("xtuner convert merge --max-shard-size 2GB")
    assert {"--max-shard-size", "max-shard-size", "shard", "2gb"} <= set(found)
    assert {"v0.2.1", "0.2.1"} & set(words("lmdeploy v0.2.1"))
    assert {"docs/en/get_started.md", "get", "started", "md"} <= set(words("docs/en/get_started.md"))
    assert {"internlm2", "7b", "internlm"} <= set(words("internlm2-chat-7b"))
    assert {"automodelforcausallm", "causal"} <= set(words("AutoModelForCausalLM"))


def test_chinese_is_cut_into_words_next_to_latin_ones() -> None:
    assert {"lmdeploy", "量化", "模型"} <= set(words("用LMDeploy量化模型"))


def test_full_width_and_case_do_not_matter() -> None:
    assert words("ＬＭＤｅｐｌｏｙ") == words("lmdeploy") or "lmdeploy" in words("ＬＭＤｅｐｌｏｙ")


def test_singular_finds_plural() -> None:
    assert set(words("model")) & set(words("models"))


def test_content_words_drop_what_carries_no_topic_but_never_everything() -> None:
    assert content_words("如何使用 xtuner？") and "如何" not in content_words("如何使用 xtuner？")
    assert content_words("what is this") == words("what is this")


def test_language_of_a_question() -> None:
    assert is_chinese("如何用 LMDeploy 部署 InternLM？")
    assert not is_chinese("How do I deploy InternLM?")
    assert not is_chinese("what does 书生 mean in the name of the model")


@given(st.text(max_size=300))
def test_any_text_gives_words_without_blanks(text: str) -> None:
    # The index stores them joined by spaces: a blank inside a word would split it there and not in the question.
    for word in words(text):
        assert word and not any(char.isspace() for char in word)


@given(st.text(max_size=100), st.text(max_size=100))
def test_words_of_two_lines_are_the_words_of_each(one: str, two: str) -> None:
    assert words(f"{one}\n{two}") == words(one) + words(two)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How do I trace lagent runs in LangSmith?", ["langsmith"]),  # lagent may be a word like any other
        ("Can it run on Intel Arc? Does it need CUDA models?", ["intel", "arc", "cuda"]),
        ("Please compare it. What is best?", []),  # capitals that begin a sentence
        ("“Where is it kept?”", []),
        ("what does --work-dir do when fine-tuning", ["work", "dir"]),
        ("the api_server and the w4a16 page", ["api", "server", "w4a16"]),
        ("xtuner 支持谷歌 TPU 吗", ["xtuner", "tpu"]),
        ("怎么给每个用户做限流", []),
        ("从 0.1.8 升级到 InternLM2.5-7B 之后 D 盘满了", ["internlm2", "7b"]),  # numbers and single letters are no names
        ("ＧＰＵ 显存不够", ["gpu"]),
        ("I AM NOT SURE", ["am", "not", "sure"]),
        ("", []),
    ],
)
def test_names_are_what_nobody_says_in_other_words(question: str, expected: list[str]) -> None:
    assert names(question) == expected


@given(st.text(max_size=200))
def test_names_are_words_of_the_text(text: str) -> None:
    """So a document that has the text has its names."""
    assert set(names(text)) <= set(words(text))


def test_a_stop_word_leaves_no_part_behind() -> None:
    assert content_words("Does it listen on a port?") == ["listen", "port"]
