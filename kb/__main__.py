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
    asking.add_argument("--model", metavar="NAME", help="what answers: a model of `models list`, 'endpoint' or 'quotes'")
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
    _add_models(commands, common)
    tools = commands.add_parser("tools", help="tools in environments of their own: list, install")
    actions = tools.add_subparsers(dest="action", required=True, metavar="ACTION")
    tool = argparse.ArgumentParser(add_help=False, parents=[common])
    tool.add_argument("--tools", type=Path, metavar="DIR", help="where they are (default: .venvs beside the code)")
    listed = actions.add_parser("list", parents=[tool], help="which there are, and their state")
    listed.add_argument("--json", action="store_true", help="print a list of objects")
    install = actions.add_parser("install", parents=[tool], help="install one, or install it anew")
    install.add_argument("name")
    install.add_argument("--progress", type=Path, metavar="FILE", help="write progress to FILE, one JSON object a line")
    return parser


def _add_models(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    models = commands.add_parser("models", help="the models there are: list, add, download, remove, check, use")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    working = argparse.ArgumentParser(add_help=False, parents=[common])
    working.add_argument("--progress", type=Path, metavar="FILE", help="write progress to FILE, one JSON object a line")
    listed = actions.add_parser("list", parents=[common], help="which there are; * answers now")
    listed.add_argument("--json", action="store_true", help="print a list of objects")
    add = actions.add_parser(
        "add", parents=[working], help="copy a folder in (safetensors; InternLM is converted), or name a server"
    )
    add.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="a model in the Hugging Face layout")
    add.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server instead, e.g. http://127.0.0.1:23333/v1")
    add.add_argument("--model", metavar="NAME", default="", help="the model that server should use")
    add.add_argument("--key-file", type=Path, metavar="FILE", help="the server's API key is in FILE")
    add.add_argument("--name", metavar="NAME", default="", help="what to call it (default: the folder's name)")
    fetch = actions.add_parser("download", parents=[working], help="fetch one from a hub; goes on where it was cut")
    fetch.add_argument("repo", metavar="REPO", help="e.g. internlm/internlm2_5-1_8b-chat")
    fetch.add_argument(
        "--source", choices=("hub", "modelscope"), default="hub", help="Hugging Face's hub or a mirror; ModelScope"
    )
    fetch.add_argument("--hub-endpoint", metavar="URL", help="a mirror of the hub, e.g. https://hf-mirror.com (or HF_ENDPOINT)")
    fetch.add_argument("--revision", metavar="R", default="", help="a branch, tag or commit")
    fetch.add_argument("--name", metavar="NAME", default="", help="what to call it (default: the end of REPO)")
    fetch.add_argument(
        "--file", action="append", default=[], metavar="FILE", help="only this file, which becomes no model; repeatable"
    )
    fetch.add_argument("--to", type=Path, metavar="DIR", default=Path(), help="where --file is put (default: here)")
    remove = actions.add_parser("remove", parents=[common], help="delete one")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    check = actions.add_parser("check", parents=[working], help="whether it is as it was added, and can be loaded")
    check.add_argument("name", metavar="NAME")
    use = actions.add_parser("use", parents=[common], help="let it answer from the next question on")
    use.add_argument("name", metavar="NAME", help="one of `models list`, 'endpoint' (of the settings) or 'quotes'")


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
