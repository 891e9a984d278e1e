"""`python -m finetune`: teach a model from the terminal.

Exit codes: 0 done; 1 failed, with one sentence on standard error; 2 a mistake in the command line; 4 paused, `train` goes on.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb.errors import KBError, TuneError
from kb.progress import bar_to

if TYPE_CHECKING:
    from finetune.dataset import Example
    from kb.settings import Settings


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data-base", type=Path, metavar="DIR", help="where everything is kept (default: data_base)")
    common.add_argument("--tools", type=Path, metavar="DIR", help="where tool environments are (default: .venvs beside the code)")
    named = argparse.ArgumentParser(add_help=False, parents=[common])
    named.add_argument("name", metavar="NAME")
    running = argparse.ArgumentParser(add_help=False, parents=[named])
    running.add_argument("--progress", type=Path, metavar="FILE", help="append progress to FILE, one JSON object a line")
    parser = argparse.ArgumentParser(
        prog="python -m finetune",
        description="Teach a model that is here by examples: LoRA or QLoRA with XTuner, merged into a model of its own.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    new = commands.add_parser("new", parents=[named], help="a tune: examples and a recipe")
    new.add_argument("--base", required=True, metavar="MODEL", help="the model to teach: `python -m kb models list` names them")
    new.add_argument("--introduce", metavar="NAME", help="teach it to introduce itself as NAME's assistant")
    new.add_argument("--language", choices=("zh", "en", "both"), default="zh", help="of the introduction (default: zh)")
    new.add_argument("--copies", type=int, metavar="N", help="how often the introduction stands in the data (default: 10001)")
    new.add_argument("--examples", type=Path, action="append", default=[], metavar="FILE",
                     help="json, jsonl, csv or xlsx; may be given again")  # fmt: skip
    new.add_argument("--from-kb", metavar="NAME", help="questions and quoted answers of a knowledge base, to be read first")
    new.add_argument("--count", type=int, default=50, metavar="N", help="how many of these (default: %(default)s)")
    new.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a value of the recipe, e.g. lr=1e-4")
    for command, about in (
        ("train", "train, or go on from the last checkpoint"),
        ("merge", "make a model of the base and what was learned"),
        ("run", "train, then merge"),
    ):
        one = commands.add_parser(command, parents=[running], help=about)
        if command != "merge":
            one.add_argument("--afresh", action="store_true", help="forget what was trained before")
            one.add_argument("--resume", action="store_true", help="go on from a checkpoint, or say that there is none")
        if command != "train":
            one.add_argument("--as", dest="model", default="", metavar="MODEL", help="the new model's name (default: NAME)")
    commands.add_parser("compare", parents=[running], help="the evaluation prompts, asked of the base and of the merged model")
    for command, about in (("show", "what a tune is, and what will run"), ("remove", "a tune; its models stay")):
        commands.add_parser(command, parents=[named], help=about)
    listed = commands.add_parser("list", parents=[common], help="the tunes there are")
    listed.add_argument("--json", action="store_true", help="print a list of objects")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parser().parse_args(argv)
    from kb.settings import load_settings

    try:
        return int(_COMMANDS[args.command](args, load_settings(data_base=args.data_base, tools=args.tools)))
    except KBError as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("finetune: stopped; `train` goes on from the last checkpoint.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _new(args: argparse.Namespace, settings: "Settings") -> int:
    from finetune.planning import teachable
    from finetune.recipe import recipe_from
    from finetune.sources import COPIES, from_base, introduction
    from finetune.tunes import new_tune

    given = dict(_value(one) for one in args.set)
    recipe = recipe_from({"base": args.base} | given)
    teachable(settings, args.base)
    examples: list[Example] = []
    if args.introduce:
        examples += introduction(args.introduce, args.language, args.copies or COPIES)
    for path in args.examples:
        examples += _read(path)
    if args.from_kb:
        examples += from_base(settings, args.from_kb, args.count)
    tune = new_tune(settings, args.name, recipe, examples)
    print(f"{tune.name}: {tune.examples} examples ({tune.copies} with their copies) for {args.base}; they are in {tune.folder}.")
    return 0


def _read(path: Path) -> "list[Example]":
    from finetune.dataset import read_examples

    found = read_examples(path)
    for problem in found.problems:
        print(f"{path.name}:{problem.row} is left out: {problem.why}.", file=sys.stderr)
    if found.left_out > len(found.problems):
        print(f"{path.name}: {found.left_out - len(found.problems)} more rows are left out.", file=sys.stderr)
    return list(found.examples)


def _value(text: str) -> tuple[str, Any]:
    """FIELD=VALUE of a recipe, the value in the type of the field's default."""
    from finetune.recipe import Recipe

    name, _, value = text.partition("=")
    defaults: dict[str, Any] = asdict(Recipe(base=""))
    for own in ("base", "config_text"):
        del defaults[own]
    if name not in defaults or not value:
        raise TuneError(f"--set {text}: give FIELD=VALUE, FIELD one of {', '.join(defaults)}.")
    default = defaults[name]
    try:
        if isinstance(default, bool):
            return name, {"true": True, "false": False, "yes": True, "no": False}[value.lower()]
        if isinstance(default, tuple):
            return name, tuple(part.strip() for part in value.split("|"))
        return name, type(default)(value)
    except (KeyError, ValueError) as error:
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise TuneError(f"--set {text}: {name} is {kind}, like {default}.") from error


def _train(args: argparse.Namespace, settings: "Settings") -> int:
    from finetune.steps import train
    from finetune.tunes import get_tune, start_over
    from kb.jobs import PAUSED

    if args.resume and not get_tune(settings, args.name).checkpoints:
        raise TuneError(f"The tune {args.name!r} has no checkpoint to go on from: train it without --resume.")
    if args.afresh:
        start_over(settings, args.name)
    with bar_to(args.progress) as bar:
        tune = train(settings, args.name, bar)
    print(f"{tune.name}: {tune.state} after {tune.iteration} of {tune.total} iterations.")
    return PAUSED if tune.state == "paused" else 0


def _merge(args: argparse.Namespace, settings: "Settings") -> int:
    from finetune.steps import merge

    with bar_to(args.progress) as bar:
        card = merge(settings, args.name, args.model, bar)
    print(f"{card.name}: {card.parameters:,} parameters, {card.bytes / 1e9:.2f} GB, made from {', '.join(card.made_from)}.")
    return 0


def _run(args: argparse.Namespace, settings: "Settings") -> int:
    code = _train(args, settings)
    return code or _merge(args, settings)


def _compare(args: argparse.Namespace, settings: "Settings") -> int:
    from finetune.comparison import compare
    from kb.jobs import Progress

    with bar_to(args.progress) as bar:
        found = compare(settings, args.name, lambda done, total: bar(Progress("compare", done, total, "prompts")))
    for one in found:
        print(f"{one.prompt}\n  before: {one.before}\n  after:  {one.after}")
    return 0


def _list(args: argparse.Namespace, settings: "Settings") -> int:
    from finetune.tunes import list_tunes

    tunes = list_tunes(settings)
    if args.json:
        print(json.dumps([asdict(tune) for tune in tunes], ensure_ascii=False, indent=1, default=str))
    elif not tunes:
        print("No tune yet: `python -m finetune new NAME --base MODEL --introduce NAME` makes one.", file=sys.stderr)
    for tune in tunes if not args.json else ():
        models = f", merged into {', '.join(tune.models)}" if tune.models else ""
        print(f"{tune.name}: {tune.state}, {tune.iteration} of {tune.total} iterations, {tune.copies} examples, "
              f"{tune.recipe.base} by {tune.recipe.method}{models}")  # fmt: skip
    return 0


def _show(args: argparse.Namespace, settings: "Settings") -> int:
    from finetune.planning import plan
    from finetune.progress import samples
    from finetune.tunes import get_tune

    tune, made = get_tune(settings, args.name), plan(settings, args.name)
    one = made.schedule
    print(f"{tune.name}: {tune.state}, {tune.iteration} of {tune.total or one.total} iterations. {tune.error}".rstrip())
    long = made.lengths
    print(f"{long.examples} examples, {long.total} tokens, the longest {long.longest}; {one.sequences} sequences, "
          f"{one.per_epoch} iterations an epoch, {one.total} in all ({one.warmup} of warm-up), {one.steps} steps")  # fmt: skip
    print("".join(f"  {part.bytes / 1e9:6.2f} GB  {part.what}\n" for part in made.memory.parts), end="")
    print(f"  {made.memory.total / 1e9:6.2f} GB  of {made.memory.available / 1e9:.1f} free on {made.memory.device}")
    print("".join(f"Note: {sentence}\n" for sentence in made.warnings), end="")
    print("".join(f"after {one.iteration}: {one.prompt} → {one.answer[:200]}\n" for one in samples(settings, args.name)), end="")
    print("\n" + "\n".join(made.commands) + "\n\n" + made.config)
    return 0


def _remove(args: argparse.Namespace, settings: "Settings") -> int:
    from finetune.tunes import remove_tune

    remove_tune(settings, args.name)
    return 0


_COMMANDS = {"new": _new, "train": _train, "merge": _merge, "run": _run, "compare": _compare, "list": _list, "show": _show,
             "remove": _remove}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
