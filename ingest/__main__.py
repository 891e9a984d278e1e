"""`python -m ingest`: documents into a knowledge base.

Exit codes: 0 done; 3 done, but some files need a look; 1 failed, and the old index still serves.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kb.errors import KBError

if TYPE_CHECKING:
    from kb.settings import Settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ingest",
        description="Index folders, files and git repositories into a knowledge base. Sources are remembered: "
        "without SOURCE, all are indexed again, and only what has changed is read.",
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="a folder, a file, or URL#BRANCH of a git repository to add")
    parser.add_argument("--kb", default="default", metavar="NAME", help="the knowledge base (default: %(default)s)")
    parser.add_argument(
        "--remove", action="append", default=[], metavar="SOURCE", help="forget a source, by name, path or address"
    )
    parser.add_argument("--pause", action="append", default=[], metavar="SOURCE", help="do not read a source again")
    parser.add_argument("--resume", action="append", default=[], metavar="SOURCE", help="read a paused source again")
    parser.add_argument("--back", action="store_true", help="make the index before the live one live again, and index nothing")
    base = parser.add_mutually_exclusive_group()
    base.add_argument("--create", action="store_true", help="make the empty knowledge base --kb, and index nothing")
    base.add_argument("--rename", metavar="NEW", help="give --kb another name")
    base.add_argument("--delete", action="store_true", help="delete --kb: its index and conversations, not your folders")
    base.add_argument("--export", type=Path, metavar="FILE", help="write --kb to one zip file, to be imported elsewhere")
    base.add_argument("--import", type=Path, metavar="FILE", dest="import_", help="make --kb from an exported file")
    parser.add_argument("--yes", action="store_true", help="with --delete: do not ask")
    parser.add_argument("--rebuild", action="store_true", help="build the index from nothing, where the one there is is damaged")
    parser.add_argument("--watch", action="store_true", help="index, and again whenever a source changes, until Ctrl-C")
    parser.add_argument("--list", action="store_true", help="name every file that was left out, with the reason")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--data-base", type=Path, metavar="DIR", help="where everything is kept (default: data_base)")
    parser.add_argument("--embed-model", metavar="MODEL", help="'builtin', a sentence-transformers folder, or a hub id")
    parser.add_argument("--progress", type=Path, metavar="FILE", help="append progress to FILE, one JSON object a line")
    return parser


def _change_sources(args: argparse.Namespace, settings: "Settings") -> None:
    from ingest.git import is_git_url
    from ingest.sources import add_git_source, add_source, pause_source, remove_source

    for which in args.remove:
        remove_source(settings, args.kb, which)
    for which in (*args.pause, *args.resume):
        pause_source(settings, args.kb, which, which in args.pause)
    for text in args.sources:
        if is_git_url(text):
            add_git_source(settings, args.kb, text, local=True)
        else:
            add_source(settings, args.kb, Path(text))


def _manage(args: argparse.Namespace, settings: "Settings") -> str:
    """Do what is asked of the knowledge base as a whole; returns what to say of it, empty if nothing was asked."""
    from ingest import bases, build, portable

    name, said = args.kb, ""
    if args.back:
        said = f"Knowledge base {name!r} answers from generation {build.go_back(name, settings)} again."
    elif args.create:
        bases.create_base(settings, name)
        said = f"Knowledge base {name!r} is there, and empty."
    elif args.rename is not None:
        bases.rename_base(settings, name, args.rename)
        said = f"Knowledge base {name!r} is now {args.rename!r}."
    elif args.delete:
        _ask_before_delete(args)
        bases.delete_base(settings, name)
        said = f"Knowledge base {name!r} is deleted."
    elif args.export:
        portable.export_base(settings, name, args.export)
        said = f"Knowledge base {name!r} is in {args.export}."
    elif args.import_:
        report = portable.import_base(settings, name, args.import_)
        said = f"Knowledge base {name!r}: {report.documents} documents, {report.chunks} chunks; its sources are paused."
    return said


def _ask_before_delete(args: argparse.Namespace) -> None:
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise KBError(f"Nothing was deleted: say --yes to delete knowledge base {args.kb!r} without being asked.")
    print(f"Delete knowledge base {args.kb!r} and the conversations about it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise KBError("Nothing was deleted.")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parser().parse_args(argv)
    from ingest.build import reindex
    from kb.progress import bar_to
    from kb.settings import load_settings

    try:
        settings = load_settings(data_base=args.data_base, embed_model=args.embed_model)
        if said := _manage(args, settings):
            print(said)
            return 0
        _change_sources(args, settings)
        if args.watch:
            from ingest.watch import watch

            watch(args.kb, settings, print)
            return 0
        with bar_to(args.progress) as bar:
            report = reindex(args.kb, settings, bar, args.rebuild)
    except KBError as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ingest: stopped; the index is as it was.", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(report.as_json(), ensure_ascii=False, indent=1))
    else:
        print("\n".join(report.lines()))
        if args.list:
            for entry in report.skipped:
                print(f"{entry.source}/{entry.path}: {entry.sentence}")
    return 3 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
