"""`python -m kb`: ask a question, chat, see what there is.

Exit codes: 0 done; 1 failed, with one sentence on standard error; 2 a mistake in the command line.
"""

import argparse
import sys
from pathlib import Path

from kb.errors import KBError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kb", description="Ask a knowledge base from the terminal.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data-base", type=Path, metavar="DIR", help="where everything is kept (default: data_base)")
    asking = argparse.ArgumentParser(add_help=False, parents=[common])
    asking.add_argument("--kb", metavar="NAME", help="the knowledge base (default: 'default', or the only one there is)")
    asking.add_argument("--top-k", type=int, metavar="N", help="passages an answer may use")
    asking.add_argument("--reranker", metavar="MODEL", help="a CrossEncoder (folder or hub id) that puts the passages in order")
    asking.add_argument("--endpoint-url", metavar="URL", help="an OpenAI-compatible server; without one, answers are quotations")
    asking.add_argument("--endpoint-model", metavar="NAME", help="the model that server should use")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ask = commands.add_parser("ask", parents=[asking], help="one question, one answer with its sources")
    ask.add_argument("question")
    ask.add_argument("--json", action="store_true", help="print {question, answer, refused, hits, seconds, unsupported}")
    ask.add_argument("--history", type=Path, metavar="FILE", help="what was said before: JSON, [{role, content} …]")
    commands.add_parser("chat", parents=[asking], help="a conversation; `exit` leaves, Ctrl-C stops an answer")
    status = commands.add_parser("status", parents=[common], help="the knowledge bases, their size and age")
    status.add_argument("--json", action="store_true", help="print a list of objects")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parser().parse_args(argv)
    from kb import terminal  # after the parser, so that --help does not wait for it

    try:
        return terminal.run(args)
    except KBError as error:
        print(f"kb: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
