"""The texts: both languages complete, nothing missing, nothing left over."""

import re
import string
from pathlib import Path

import pytest

import ui
from finetune import Recipe
from kb.records import WHY_SKIPPED
from ui.words import LANGUAGES, WORDS, Words, preferred

SOURCE = "".join(
    path.read_text("utf-8") for path in Path(str(ui.__file__)).parent.glob("*.py") if not path.name.startswith("words")
)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", WORDS)
def test_both_languages_say_it_with_the_same_placeholders(key: str) -> None:
    english, chinese = WORDS[key]
    assert english.strip()
    assert chinese.strip()
    assert placeholders(english) == placeholders(chinese)
    values = dict.fromkeys(placeholders(english), "x")
    for language in LANGUAGES:
        assert Words(language)(key, **values)


def test_every_key_that_is_used_is_there_and_the_other_way_round() -> None:
    used = set(re.findall(r'words\(\s*"([\w.-]+)"', SOURCE)) | set(
        re.findall(r'"((?:chat|reader|login|dialog|library|evaluate|options|compare|models|tune|tool)\.[\w.-]+)"', SOURCE)
    )
    assert used <= set(WORDS)
    # Put together from a code.
    made = ("why.", "reason.", "stage.", "job.", "unit.", "dialog.", "metric.", "slice.", "fault.", "evaluate.filter.", "tab.",
            *(f"models.{part}." for part in ("fact", "kind", "step", "swap", "use", "check", "device")),
            *(f"tune.{part}."
              for part in ("state", "said", "fault", "part", "change", "schedule", "warning", "language", "source")),
            "tool.state.", "tool.why.")  # fmt: skip
    fields = {f"tune.{name}{end}" for name in Recipe.__dataclass_fields__ for end in ("", ".about")}
    assert {key for key in WORDS if not key.startswith(made)} <= used | fields | {"tune.before", "tune.after"}


def test_every_reason_for_leaving_a_file_out_has_words() -> None:
    for language in LANGUAGES:
        words = Words(language)
        for reason in WHY_SKIPPED:
            assert f"why.{reason}" in WORDS
            assert f"reason.{reason}" in WORDS
            assert words.why(reason, "{detail} <b>")
        assert "new-code" in words.why("new-code", "x")


def test_english_reasons_are_those_of_the_core() -> None:
    assert {key[4:]: text for key, (text, _) in WORDS.items() if key.startswith("why.") and key != "why.other"} == WHY_SKIPPED


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("de,zh-TW;q=0.7,en;q=0.3", "zh"),
        ("fr", "en"),
        ("", "en"),
        ("zh;q=nonsense,en", "en"),
        ("," * 10_000, "en"),
    ],
)
def test_preferred_language(header: str, language: str) -> None:
    assert preferred(header) == language


@pytest.mark.parametrize(("count", "says"), [(0, "0 sources"), (1, "1 source"), ("1", "1 source"), ("1,001", "1,001 sources")])
def test_one_is_not_said_as_many(count: object, says: str) -> None:
    assert Words("en")("source.count", count=count) == says
    assert Words("zh")("source.count", count=count) == f"{count} 个来源"
