"""Links to a passage at the commit it was indexed from."""

import pytest

from kb.links import has_lines, permalink

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("url", "lines", "link"),
    [
        ("https://github.com/InternLM/xtuner.git", (3, 9), f"https://github.com/InternLM/xtuner/blob/{SHA}/a/b.txt#L3-L9"),
        ("https://github.com/InternLM/xtuner", (3, 3), f"https://github.com/InternLM/xtuner/blob/{SHA}/a/b.txt#L3"),
        ("https://github.com/InternLM/xtuner/", (0, 0), f"https://github.com/InternLM/xtuner/blob/{SHA}/a/b.txt"),
        ("git@github.com:InternLM/xtuner.git", (3, 9), f"https://github.com/InternLM/xtuner/blob/{SHA}/a/b.txt#L3-L9"),
        ("ssh://git@gitlab.com:22/a/b/c.git", (3, 9), f"https://gitlab.com/a/b/c/-/blob/{SHA}/a/b.txt#L3-9"),
        ("https://gitee.com/mindspore/docs.git", (3, 9), f"https://gitee.com/mindspore/docs/blob/{SHA}/a/b.txt#L3-9"),
        ("https://someone:secret@GitHub.com/x/y", (3, 9), f"https://github.com/x/y/blob/{SHA}/a/b.txt#L3-L9"),
    ],
)
def test_links(url: str, lines: tuple[int, int], link: str) -> None:
    assert permalink(url, SHA, "a/b.txt", *lines) == link


def test_rendered_pages_are_asked_for_their_lines() -> None:
    assert permalink("https://github.com/x/y", SHA, "说 明#1.md", 3, 9) == (
        f"https://github.com/x/y/blob/{SHA}/%E8%AF%B4%20%E6%98%8E%231.md?plain=1#L3-L9"
    )
    assert permalink("https://gitee.com/x/y", SHA, "a.md", 3, 9) == f"https://gitee.com/x/y/blob/{SHA}/a.md#L3-9"


@pytest.mark.parametrize(
    "url",
    ["https://example.com/x/y", "https://github.com.evil.org/x/y", "http://github.com/x/y", "file:///github.com/x/y",
     "javascript:x", "https://github.com/x", "https://github.com/x/../y", "https://github.com/x/y\"onclick=",
     "https://[github.com/x/y", ""],
)  # fmt: skip
def test_no_link_elsewhere(url: str) -> None:
    assert permalink(url, SHA, "a.md", 1, 2) is None


@pytest.mark.parametrize(
    ("commit", "path"), [("main", "a.md"), (SHA, ""), (SHA, "../a.md"), (SHA, "/a.md"), (SHA[:-1] + "/", "a.md")]
)
def test_no_link_to_what_is_no_commit_or_no_file(commit: str, path: str) -> None:
    assert permalink("https://github.com/x/y", commit, path, 1, 2) is None


def test_only_text_has_its_file_s_lines() -> None:
    assert [has_lines(path) for path in ("a.md", "a/README", "b.TXT", "c.rst")] == [True] * 4
    assert [has_lines(path) for path in ("a.pdf", "a.ipynb", "rows.jsonl", "md", "notREADME")] == [False] * 5
