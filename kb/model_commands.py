"""The terminal's side of `python -m kb models`: list, add, download, remove, check, use."""

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from kb import hub, models
from kb.errors import KBError, ModelError
from kb.llm.memory import gib
from kb.model_card import Card
from kb.progress import Bar, bar_to
from kb.settings import Settings


def run(settings: Settings, args: argparse.Namespace) -> int:
    """Run a parsed command; returns its exit code.

    Raises:
        KBError: a sentence for the user.
    """
    actions = {"list": _list, "add": _add, "download": _download, "remove": _remove, "check": _check, "use": _use}
    try:
        with bar_to(getattr(args, "progress", None)) as bar:
            return actions[args.action](settings, args, bar)
    except KeyboardInterrupt:
        print("kb: stopped; what was fetched stays, and the same command goes on with it.", file=sys.stderr)
        return 1


def _list(settings: Settings, args: argparse.Namespace, _: Bar) -> int:
    from kb.serving import live_name

    live, cards = live_name(settings), models.list_models(settings)
    if args.json:
        print(json.dumps([asdict(card) | {"live": card.name == live} for card in cards], ensure_ascii=False, indent=1))
    elif not cards:
        print("No model yet: `python -m kb models add FOLDER` or `models download REPO`.", file=sys.stderr)
    for card in cards if not args.json else ():
        print(f"{'*' if card.name == live else ' '} {card.name}: {described(card)}\n    {_from(card)}")
    return 0


def described(card: Card) -> str:
    """A model in a line."""
    if card.endpoint:
        return f"{card.endpoint.url}" + (f" ({card.endpoint.model})" if card.endpoint.model else "")
    count = f"{card.parameters / 1e9:.1f} B" if card.parameters >= 1e9 else f"{card.parameters / 1e6:.1f} M"
    parts = (
        f"{count} parameters",
        f"{gib(card.bytes)} {card.quantization or card.dtype}",
        f"{card.context} tokens",
        card.template,
        card.licence,
    )
    return ", ".join(part for part in (card.architecture, *parts) if part)


def _from(card: Card) -> str:
    made = f" of {', '.join(card.made_from)}" if card.made_from else ""
    step = f", {card.how['step']} from {card.how['from']}" if card.how.get("from") else ""
    return f"from {card.origin}{made}{step}"


def _add(settings: Settings, args: argparse.Namespace, bar: Bar) -> int:
    if (args.folder is None) == (args.endpoint is None):
        raise ModelError("Name a folder, or a server with --endpoint URL; not both.")
    if args.endpoint is not None:
        if not args.name:
            raise ModelError("Say what to call the server: --name NAME.")
        key = _key(args.key_file) if args.key_file else ""
        return _said(models.add_endpoint(settings, args.name, args.endpoint, args.model, key))
    return _said(models.add_model(settings, args.folder, args.name, bar))


def _key(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): name the file that holds the key.") from error


def _said(card: Card) -> int:
    print(f"{card.name}: {described(card)}")
    return 0


def _download(settings: Settings, args: argparse.Namespace, bar: Bar) -> int:
    if args.file:
        fetch = partial(hub.fetch_files, revision=args.revision, source=args.source, tell=bar)
        for path in fetch(settings, args.repo, args.file, args.to):
            print(path)
        return 0
    return _said(hub.download(settings, args.repo, revision=args.revision, source=args.source, name=args.name, tell=bar))


def _remove(settings: Settings, args: argparse.Namespace, _: Bar) -> int:
    if not models.model_folder(settings, args.name).is_dir():
        models.get_model(settings, args.name)  # says which there are
    if users := [one.name for one in models.list_models(settings) if args.name in one.made_from]:
        print(
            f"kb: {', '.join(users)} {'was' if len(users) == 1 else 'were'} made from it and will go on without it.",
            file=sys.stderr,
        )
    if not args.yes:
        if not sys.stdin.isatty():
            raise KBError(f"Nothing was removed: say --yes to remove the model {args.name!r} without being asked.")
        print(f"Remove the model {args.name!r}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise KBError("Nothing was removed.")
    freed = models.remove_model(settings, args.name)
    print(f"The model {args.name!r} is removed; {gib(freed)} are free again.")
    return 0


def _check(settings: Settings, args: argparse.Namespace, bar: Bar) -> int:
    sentences = models.check_model(settings, args.name, bar)
    print("\n".join(sentences) or f"The model {args.name!r} is sound.")
    return 1 if sentences else 0


def _use(settings: Settings, args: argparse.Namespace, _: Bar) -> int:
    from kb.serving import choose

    print(choose(settings, args.name, partial(print, file=sys.stderr)))
    return 0
