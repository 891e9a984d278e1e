"""The one way into the page: nothing that text contains becomes an element, an attribute or a link of its own."""

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.attacks import PAYLOADS
from ui import render
from ui.render import Html, carry, cited, code, el, join, markdown

TAGS = {
    *("a", "blockquote", "br", "code", "div", "em", "h2", "h3", "hr", "li", "ol", "p", "pre", "s", "span", "strong"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul"),
}
ATTRIBUTES = {"href", "target", "rel", "class", "title", "role", "start", "style"}


def cite(n: int) -> Html | None:
    return el("a", str(n), href=f"#do:open:0:{n}", class_="cite") if n <= 3 else None


class Checker(HTMLParser):
    """Fails on anything that Markdown may not bring into the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            if name == "href":
                self.links.append(value or "")
            if name == "style":
                assert re.fullmatch(r"text-align:(left|right|center)", value or "")
        if tag == "a":
            assert "a" not in self.open, "a link inside a link"
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("a processing instruction")


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.open
    for link in checker.links:
        assert re.match(r"(https?://|mailto:|#do:open:0:[123]\Z|#local:copy-code\Z)", link, re.I), link
    return checker


@pytest.mark.parametrize("payload", PAYLOADS)
def test_attacks_become_text(payload: str) -> None:
    started = time.perf_counter()
    checked(markdown(payload, cite))
    assert time.perf_counter() - started < 1.0
    assert "\n" not in carry(markdown(payload, cite))


@given(
    st.lists(
        st.sampled_from(
            [*PAYLOADS[:40], "a", " ", "\n", "\n\n", "> ", "- ", "[", "](", ")", "`", "```\n", "*", "|", "<", "&lt;", "[1]"]
        )
    )
)
def test_mixtures_of_attacks_become_text(parts: list[str]) -> None:
    checked(markdown("".join(parts), cite))


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",))))
def test_any_text_survives_as_text(text: str) -> None:
    parser = Checker()
    parser.feed(el("p", text))
    parser.close()
    assert parser.text.replace("\r", "\n") == text.replace("\r", "\n")
    checked(markdown(text, cite))


def test_images_become_links_and_relative_ones_text() -> None:
    html = markdown("![a picture](https://example.com/p.png) ![other](img/p.png)")
    assert "<img" not in html
    assert '<a href="https://example.com/p.png"' in html
    assert '<span class="dead-link" title="img/p.png">other</span>' in html


def test_outward_links_tell_nothing_and_leave_this_page_alone() -> None:
    html = markdown("[x](https://example.com)")
    assert 'target="_blank"' in html
    assert "noopener" in html
    assert "noreferrer" in html


def test_citations_become_links_outside_code() -> None:
    html = markdown("One [1], two [2, 3], three 【1】, unknown [9], [1](https://example.com).\n\n`[1]`\n\n    [1]\n", cite)
    assert html.count('class="cite"') == 4
    assert "[9]" in html


def test_a_document_cannot_redefine_a_citation() -> None:
    html = markdown("See [1].\n\n[1]: https://evil.example\n", cite)
    assert not [link for link in checked(html).links if "evil" in link]


def test_cited_escapes_around_the_marks() -> None:
    assert cited("<b>[1]</b>", cite).startswith("&lt;b&gt;<a ")


def test_el_refuses_what_the_page_never_needs() -> None:
    for call in (
        lambda: el("script", "x"),
        lambda: el("img"),
        lambda: el("a", "x", href="javascript:alert(1)"),
        lambda: el("a", "x", href="//evil.example"),
        lambda: el("div", "x", onclick="alert(1)"),
        lambda: el("div", **{"src": "x"}),
        lambda: el("div", **{'a"b': "x"}),
    ):
        with pytest.raises(ValueError, match="on this page"):
            call()


def test_plain_strings_are_escaped_everywhere() -> None:
    assert el("p", "<b>", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;</p>'
    assert join("<b>", el("i", "x")) == "&lt;b&gt;<i>x</i>"
    assert "<script" not in code("</code></pre><script>")


def test_only_html_is_carried() -> None:
    with pytest.raises(TypeError):
        carry("<b>not ours</b>")  # type: ignore[arg-type]
    assert carry(el("pre", "a\n\n# b\r\n\u2028c")) == "<div><pre>a&#10;&#10;# b&#10;&#10;c</pre></div>"
    assert carry(Html("")) == ""


def test_enormous_text_is_not_parsed() -> None:
    assert markdown("*a*" * render.MAX_MARKDOWN).startswith("<pre>")
