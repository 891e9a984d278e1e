"""The terminal's side of `python -m kb`: ask, chat, status (models: model_commands.py)."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from kb.answer import ask
from kb.base import DEFAULT, KnowledgeBase
from kb.errors import KBError, SourceError
from kb.records import Done, Failed, Found, Hit, Token, Turn
from kb.serving import QUOTES, SETTINGS, lease, live_name
from kb.settings import Settings, load_settings
from kb.state import State

MARK = "⚠"


def run(args: argparse.Namespace) -> int:
    """Run a parsed command; returns its exit code.

    Raises:
        KBError: a sentence for the user.
    """
    names = ("data_base", "tools", "top_k", "reranker", "endpoint_url", "endpoint_model", "hub_endpoint")
    given = {name: getattr(args, name, None) for name in names}
    settings = load_settings(**given)
    if args.command == "status":
        return _status(settings, args.json)
    if args.command == "models":
        from kb import model_commands

        return model_commands.run(settings, args)
    if args.command == "tools":
        from kb import tools

        return tools.command(settings, args)
    base = _base(settings, args.kb)
    model = args.model or (SETTINGS if args.endpoint_url else "")  # "": what answers at each question
    if args.command == "chat":
        return _chat(base, settings, model)
    history = _history(args.history) if args.history else ()
    found, done = asyncio.run(_ask(args.question, history, base, settings, model))
    if args.json:
        print(json.dumps(_as_json(args.question, found, done), ensure_ascii=False))
    else:
        print("\n".join((_marked(done), "", *_source_lines(found.hits, done))))
    return 0


def _base(settings: Settings, name: str | None) -> KnowledgeBase:
    names = KnowledgeBase.names(settings)
    if name is None and DEFAULT not in names and len(names) == 1:
        name = names[0]
    return KnowledgeBase.open(name or DEFAULT, settings)


def _history(path: Path) -> list[Turn]:
    try:
        return [Turn(row["role"], row["content"]) for row in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is not a history, a JSON list of {{role, content}}: {error!r}.") from error


async def _ask(
    question: str, history: Sequence[Turn], base: KnowledgeBase, settings: Settings, model: str, shown: bool = False
) -> tuple[Found, Done]:
    """The answer, printed as it comes if it is `shown`."""
    found: Found | None = None
    async with aclosing(ask(question, history, base, settings, model=model)) as events:
        async for event in events:
            match event:
                case Found():
                    found = event
                case Token(text) if shown:
                    print(text, end="", flush=True)
                case Failed(message):
                    raise KBError(message)
                case Done() if found is not None:
                    return found, event
    raise RuntimeError("an answer ended without Done or Failed")


def _unsupported(done: Done) -> list[str]:
    return [" ".join(done.text[start:end].split()) for start, end in done.unsupported]


def _marked(done: Done) -> str:
    """The answer, with a mark behind each sentence that its passages do not support."""
    text = done.text
    for _, end in reversed(done.unsupported):
        text = f"{text[:end]} {MARK}{text[end:]}"
    return text + (f"\n\n{MARK} not found in the passages" if done.unsupported else "")


def _source_lines(hits: Sequence[Hit], done: Done) -> list[str]:
    """Those that the answer cites; the nearest ones where it refuses."""
    cited = {quote.n: quote for quote in reversed(done.quotes)}
    shown = [hit for hit in hits if hit.n in cited] or list(hits[:3])
    return [
        f"[{hit.n}] {hit.path}:{cited[hit.n].start if hit.n in cited else hit.chunk.start}  {' › '.join(hit.chunk.heading)}"
        for hit in shown
    ]


def _as_json(question: str, found: Found, done: Done) -> dict[str, Any]:
    return {
        "question": question,
        "answer": done.text,
        "refused": done.refused,
        "hits": [
            {"n": hit.n, "source": hit.path, "root": hit.source, "heading": list(hit.chunk.heading),
             "lines": [hit.chunk.start, hit.chunk.end], "score": hit.score, "text": hit.chunk.text}
            for hit in found.hits
        ],
        "seconds": done.seconds,
        "unsupported": _unsupported(done),
    }  # fmt: skip


def _chat(base: KnowledgeBase, settings: Settings, model: str) -> int:
    now = model or live_name(settings)
    known = {QUOTES: "quotations from the documents", SETTINGS: settings.endpoint_model or settings.endpoint_url}.get(now, now)
    print(f"InternKB, knowledge base {base.name!r}, answers by {known}. `exit` leaves, Ctrl-C stops an answer.")
    if now not in (QUOTES, SETTINGS):
        with lease(settings, model):  # loaded before the first question is typed
            pass
    history: list[Turn] = []
    while True:
        try:
            question = input("\n> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return 0
        if question in ("exit", "quit"):
            return 0
        if not question:
            continue
        try:
            found, done = asyncio.run(_ask(question, history, base, settings, model, shown=True))
        except KeyboardInterrupt:
            print("\n(stopped)")
            continue
        except KBError as error:
            print(f"\n{error}")
            continue
        told = [f"{MARK} not found in the passages: {sentence}" for sentence in _unsupported(done)]
        print("\n\n" + "\n".join((*told, *_source_lines(found.hits, done))))
        history += [Turn("user", question), Turn("assistant", done.text)]


def _status(settings: Settings, as_json: bool) -> int:
    state = State(settings)
    rows = []
    for name in KnowledgeBase.names(settings):
        row: dict[str, Any] = {"kb": name, "sources": [source.where for source in KnowledgeBase(name, settings).sources()]}
        if state.live(name) is not None:
            manifest = KnowledgeBase(name, settings).manifest()
            row |= {"generation": manifest.number, "documents": manifest.documents, "chunks": manifest.chunks,
                    "bytes": manifest.bytes, "indexed": manifest.created, "model": manifest.model}  # fmt: skip
        rows.append(row)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    elif not rows:
        print("No knowledge base yet: `python -m ingest FOLDER` makes one.", file=sys.stderr)
    for row in rows if not as_json else ():
        print(f"{row['kb']}: {_age(row) if 'generation' in row else 'not indexed yet'}")
        print("".join(f"  from {path}\n" for path in row["sources"]), end="")
    return 0


def _age(row: dict[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["indexed"]))
    return f"{row['documents']} documents, {row['chunks']} chunks, generation {row['generation']} of {when}, {row['model']}"
