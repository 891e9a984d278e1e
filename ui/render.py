"""The only way from text into the page.

Everything the page draws itself is built with `el`, which escapes every string it is given, or with `markdown`, which
turns Markdown (a document's, a model's) into HTML without letting any HTML, image or link scheme of its own through.
The result is an `Html`; plain strings are never taken for one. `carry` hands it to a gr.Markdown component, whose own
sanitiser and the page's Content-Security-Policy stand behind this door, not instead of it.

gr.HTML is not used: it compiles its template with `Function`, which would need 'unsafe-eval' in the policy.
"""

import re
from collections.abc import Callable, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

Citation = Callable[[int], "Html | None"]

MAX_MARKDOWN = 200_000  # characters; anything longer is shown as plain text

_TAGS = frozenset(
    [
        *("a", "article", "aside", "b", "button", "code", "dd", "details", "div", "dl", "dt", "em", "footer", "h2", "h3", "h4"),
        *("header", "hr", "i", "kbd", "label", "li", "main", "mark", "nav", "ol", "p", "pre", "progress", "section", "small"),
        *("span", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul"),
    ]
)
_VOID = frozenset(("hr", "progress"))
_ATTRIBUTE = re.compile(r"[a-z][a-z-]*\Z")
_OUR_LINK = re.compile(r"(#|\.?/(?!/))[\w:./?=&#%~-]*\Z")
_WEB_LINK = re.compile(r"(https?://[^\s/?#]|mailto:[^\s]+@)", re.IGNORECASE)
CITATION = re.compile(r"[\[【]\s*(\d{1,3}(?:\s*[,，、]\s*\d{1,3})*)\s*[\]】]")


class Html(str):
    """A string that is HTML already, made by this module."""

    __slots__ = ()


Child = str | Sequence["Child"] | None


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return str(child)
    if isinstance(child, str):
        return escape(child)
    return "".join(_text(one) for one in child)


def join(*children: Child) -> Html:
    """Several pieces one after another; strings are escaped."""
    return Html(_text(children))


def el(tag: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """One element. `class_` and `for_` lose their underscore; None and False leave an attribute out.

    Raises:
        ValueError: for a tag, an attribute or a link target that this page never needs. That is a bug, not bad input.
    """
    if tag not in _TAGS:
        raise ValueError(f"No element {tag!r} on this page.")
    parts = [tag]
    for given, value in attributes.items():
        name = given.rstrip("_")
        if not _ATTRIBUTE.match(name) or name.startswith("on") or name in ("src", "srcdoc", "action"):
            raise ValueError(f"No attribute {name!r} on this page.")
        if name == "href" and not is_web_link(str(value)) and not _OUR_LINK.match(str(value)):
            raise ValueError(f"No link to {value!r} on this page.")
        if value is not None and value is not False:
            parts.append(name if value is True else f'{name}="{escape(str(value))}"')
    opening = f"<{' '.join(parts)}>"
    return Html(opening if tag in _VOID and not children else f"{opening}{_text(children)}</{tag}>")


def link(href: str, *children: Child, class_: str = "", title: str = "", **attributes: str) -> Html:
    """A link that page.js takes for a button (`#do:verb:value` and so on; page.js says which there are)."""
    return el("a", *children, href=href, class_=class_ or None, role="button", title=title or None, **attributes)


def web_link(url: str, *children: Child) -> Html:
    """A link that leads out of the page, into a tab of its own; the children alone where `url` is no web address."""
    if not is_web_link(url):
        return el("span", *children)
    return el("a", *children, href=url, target="_blank", rel="noopener noreferrer nofollow")


def icon(name: str, label: str = "") -> Html:
    """A picture from the style sheet, with words for those who do not see it."""
    return join(el("span", class_=f"icon icon-{name}"), el("span", label, class_="unseen") if label else None)


def is_web_link(url: str) -> bool:
    """Whether a link may lead out of the page: http, https and mailto, written out in full."""
    return bool(_WEB_LINK.match(url)) and not re.search(r"[\x00-\x20\x7f\\<>\"]", url)


def carry(html: Html) -> str:
    """`html` as the value of a gr.Markdown.

    One line, in one block element: a Markdown parser ends an HTML block at a blank line, and would read what follows
    as Markdown.
    """
    if not isinstance(html, Html):
        raise TypeError("Only what render.py made goes into the page.")
    return re.sub(r"\r\n|[\n\r\v\f\x85\u2028\u2029]", "&#10;", f"<div>{html}</div>") if html else ""


class _Renderer(RendererHTML):
    """Markdown tokens → HTML, with the three things changed that could reach out of the page."""

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        text = tokens[idx].content
        return escape(text) if env.get("in_link") else cited(text, env["cite"])  # no link inside a link

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        alt = self.renderInlineAsText(tokens[idx].children, options, env)
        return _outward(str(tokens[idx].attrs.get("src", "")), alt or "image", "image")

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        url = str(tokens[idx].attrs.get("href", ""))
        safe = is_web_link(url) and not env.get("in_link")
        env["in_link"] = env.get("in_link", 0) + 1
        env.setdefault("links", []).append("a" if safe else "span")
        if safe:
            return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer nofollow">'
        return f'<span class="dead-link" title="{escape(url)}">'

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        env["in_link"] -= 1
        return f"</{env['links'].pop()}>"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return code(tokens[idx].content)

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return code(tokens[idx].content)

    def html_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return escape(tokens[idx].content)

    html_inline = html_block

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f'<p class="heading heading-{tokens[idx].tag[1:]}">'

    def heading_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</p>"

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="scroll"><table>'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>"


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable(["table", "strikethrough"])
    # A definition "[1]: http://elsewhere" would turn every citation [1] into a link of the document's choice.
    parser.disable("reference")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # link_open decides, and shows the rest as text
    return parser


_PARSER = _parser()


def _outward(url: str, text: str, kind: str) -> str:
    if is_web_link(url):
        return str(el("a", text, href=url, target="_blank", rel="noopener noreferrer nofollow", class_=f"out-{kind}"))
    return str(el("span", text, class_="dead-link", title=url))


def code(text: str) -> Html:
    """A block of code with a copy button."""
    return el("div", link("#local:copy-code", icon("copy"), class_="copy"), el("pre", el("code", text.rstrip())), class_="code")


def cited(text: str, cite: Citation) -> Html:
    """Plain text in which [1], [2, 3] and 【4】 become what `cite` says; numbers it does not know stay as they are."""
    parts: list[Child] = []
    at = 0
    for match in CITATION.finditer(text):
        marks = [cite(int(number)) for number in re.findall(r"\d+", match[1])]
        if all(mark is not None for mark in marks):
            parts += [text[at : match.start()], marks]
            at = match.end()
    return join(*parts, text[at:])


def markdown(text: str, cite: Citation = lambda n: None) -> Html:
    """Markdown as HTML: no raw HTML, no images (only links to them), http(s) and mailto links only."""
    text = text.replace("\x00", "\ufffd")
    if len(text) > MAX_MARKDOWN:
        return el("pre", text)
    return Html(_PARSER.render(text, {"cite": cite}))
