"""The app: two pages (English, Chinese) of tabs in one Blocks, behind the door of web.py."""

import logging
import os
import threading
from typing import Any

import gradio as gr
from fastapi import Request
from starlette.middleware import Middleware

from kb import KBError, Settings
from ui.address import LOCAL_NAMES, Address
from ui.board import board
from ui.chat import ChatTab
from ui.compare import CompareTab
from ui.core import STATIC, Core
from ui.evaluate import EvaluateTab
from ui.library import LibraryTab
from ui.models import ModelsTab
from ui.render import Html, el, icon, link
from ui.theme import Theme
from ui.tune import TuneTab
from ui.web import PAGES, USER_KEY, Door
from ui.words import Language, Words

MAX_UPLOAD = 512 * 1024 * 1024  # bytes of one file
HOUR = 3600  # seconds; what a browser sent is copied at once, and its first copy deleted after that
WARM_AFTER = 2.0  # seconds
AT_ONCE = 32  # answers written at the same time
_log = logging.getLogger(__name__)


def build(core: Core, *, logout: bool = False) -> gr.Blocks:
    """The whole app. A page a language, so that every text is a plain string of its language."""
    with gr.Blocks(title="InternKB", analytics_enabled=False, fill_width=True, delete_cache=(HOUR, HOUR)) as blocks:
        _page(core, "en", logout)
    for path, language in PAGES.items():
        if path != "/":
            with blocks.route(language, path, show_in_navbar=False):
                _page(core, language, logout)
    blocks.queue(default_concurrency_limit=AT_ONCE, api_open=False)
    return blocks


def _page(core: Core, language: Language, logout: bool) -> None:
    words = Words(language)
    chat, library, evaluate = ChatTab(core, words), LibraryTab(core, words), EvaluateTab(core, words)
    models, tune = ModelsTab(core, words), TuneTab(core, words)
    compare = CompareTab(core, words, chat.handlers.citations.asides)
    here: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.Navbar(visible=False)
    board(_header(words, logout), elem_id="header")
    kb = gr.Dropdown(
        core.names(),
        value=core.default(),
        label=words("kb.choice"),
        show_label=False,
        container=False,
        filterable=False,
        elem_id="kb",
    )
    # page.js writes the value of a clicked link into this box and presses the button of the link's verb.
    value = gr.Textbox(visible="hidden", elem_id="do-value", max_lines=1)
    reader = board(elem_id="reader")  # beside all tabs, since sources are opened in more than one
    with gr.Tabs(elem_id="tabs"):
        with gr.Tab(words("tab.chat"), id="chat") as chat_tab:
            chat.build(kb, value, reader)
        with gr.Tab(words("tab.compare"), id="compare") as compare_tab:
            compare.build(kb)
        with gr.Tab(words("tab.library"), id="library") as library_tab:
            library.build(kb, value)
        with gr.Tab(words("tab.models"), id="models") as models_tab:
            models.build(value)
        with gr.Tab(words("tab.tune"), id="tune") as tune_tab:
            tune.build(kb, value)
        with gr.Tab(words("tab.evaluate"), id="evaluate") as evaluate_tab:
            evaluate.build(kb, value)

    def choose(request: gr.Request) -> gr.Dropdown:
        names, asked = core.names(), request.query_params.get("kb")
        return gr.Dropdown(choices=names, value=asked if asked in names else core.default())

    root = gr.context.Context.root_block
    assert root is not None
    loaded = root.load(choose, None, [kb], **here)
    loaded.then(chat.handlers.load, [kb], chat.view, **here).then(library.refresh, [kb], library.view, **here)
    library_tab.select(library.refresh, [kb], library.view, **here)
    evaluate_tab.select(evaluate.refresh, [kb], evaluate.view, **here)
    compare_tab.select(compare.refresh, compare.view[:4], compare.view, **here)
    models_tab.select(models.refresh, None, models.view, **here)
    tune_tab.select(tune.refresh, [tune.chosen], tune.outputs, **here)
    chat_tab.select(chat.handlers.refresh, [chat.view[0], kb], chat.view, **here)
    options = chat.options
    gr.on([root.load, chat_tab.select], options.restore, [options.kept], [*options.fields, options.line], **here)


def _header(words: Words, logout: bool) -> Html:
    other = next(language for language in PAGES.values() if language != words.language)
    return el(
        "div",
        link("#local:side", icon("menu", words("chat.menu")), class_="menu"),
        el(
            "a",
            el("span", class_="mark-logo"),
            el("span", words("app.name"), class_="name"),
            href="./",
            class_="brand",
            title=words("app.tagline"),
        ),
        el("span", class_="space"),
        link("#local:theme", icon("theme", words("app.theme")), class_="theme", title=words("app.theme")),
        el("a", words("lang.other"), href=f"./?lang={other}", class_="language"),
        el("a", words("app.logout"), href="./logout", class_="logout") if logout else None,
        class_="header",
    )


def launch(core: Core, address: Address, *, block: bool = True) -> gr.Blocks:
    """Serve the app; returns when it is stopped, or at once with `block=False`.

    Raises:
        SettingsError: see Address.check.
    """
    address.check()
    os.environ["GRADIO_TEMP_DIR"] = str(core.settings.data_base / "tmp")  # for what a browser sends; components read it when made
    blocks = build(core, logout=address.login is not None)
    hosts = None if address.public else {*LOCAL_NAMES, address.host}

    def user(request: Request) -> str | None:
        return request.scope.get(USER_KEY)

    blocks.launch(
        server_name=address.host,
        server_port=address.port,
        share=address.share,
        prevent_thread_lock=True,
        quiet=True,
        inbrowser=False,
        show_error=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        strict_cors=True,
        theme=Theme(),
        max_file_size=1 if address.public else MAX_UPLOAD,
        blocked_paths=[
            str(core.settings.data_base / own) for own in ("kbs", "models", "jobs", "runs", "questions", "tunes", "state.db")
        ],  # all but tmp/
        allowed_paths=[],
        favicon_path=str(STATIC / "favicon.svg"),
        auth_dependency=user if address.login else None,
        app_kwargs={
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
            "middleware": [Middleware(Door, login=address.login, hosts=hosts, uploads=not address.public)],
        },
    )
    # The tunnel stands; from here on Gradio would serve shared pages with scripts from its own bucket on the internet.
    blocks.share = False
    warming = threading.Timer(WARM_AFTER, _warm, (core,))  # not at once: the first page would wait for these imports
    warming.daemon = True
    warming.start()
    if block:
        print(f"InternKB is at {address.url}  (Ctrl-C stops it)", flush=True)
        blocks.block_thread()
    return blocks


def _warm(core: Core) -> None:
    try:
        core.warm()
    except KBError as error:
        _log.info("Not warmed up: %s", error)


def serve(settings: Settings, address: Address, first: str | None) -> None:
    """`python -m ui`: check, see to it that there is something to ask, serve."""
    address.check()
    core = Core(settings, public=address.public, first=first)
    if first is not None:
        core.base(first)  # a name that is not there is said now, not in the page
    core.ensure_guide()
    launch(core, address)
