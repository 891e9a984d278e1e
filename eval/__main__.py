"""`python -m eval`: how well a knowledge base answers questions whose answers are known.

Exit codes: 0 done; 1 failed, or a metric dropped beyond chance under --gate; 3 done, but some rows or answers need a look.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kb.errors import KBError

if TYPE_CHECKING:
    from eval.compare import Difference
    from eval.runs import Run


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval",
        description="Ask a knowledge base the questions of a JSONL file the way the page asks them, and score what it finds, "
        "cites, answers and refuses. RUN is the folder of a run, or a file that --save-baseline wrote.",
    )
    parser.add_argument("--kb", default="default", metavar="NAME", help="the knowledge base (default: %(default)s)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--questions", type=Path, metavar="FILE", help="the questions, one JSON object {id, question, …} a line")
    what.add_argument("--compare", type=Path, nargs=2, metavar=("RUN_A", "RUN_B"), help="two runs, case by case; asks nothing")
    what.add_argument("--make", type=_positive, metavar="N", help="write N questions, made of the documents, to the file --out")
    parser.add_argument(
        "--language", choices=("both", "zh", "en"), default="both", help="of the questions to make (default: both)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="where the run is kept, and gone on with (default: a new folder); with --make, the file",
    )
    parser.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="questions at a time (default: 1, for true latencies)"
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N questions")
    parser.add_argument("--gate", type=Path, metavar="RUN", help="exit with 1 if a metric is worse than in RUN beyond chance")
    parser.add_argument(
        "--save-baseline", type=Path, metavar="FILE", help="also write the figures of each case, without texts, to FILE"
    )
    parser.add_argument("--model", default="", metavar="NAME", help="what is to answer (default: what answers now)")
    parser.add_argument("--judge", action="store_true", help="let a model judge the answers: the one of endpoint_url, or")
    parser.add_argument("--judge-url", metavar="URL", help="the OpenAI-compatible server of the judge")
    parser.add_argument("--judge-model", metavar="NAME", help="the model that server should use, or one of yours")
    parser.add_argument("--data-base", type=Path, metavar="DIR", help="where everything is kept (default: data_base)")
    parser.add_argument("--progress", type=Path, metavar="FILE", help="append progress to FILE, one JSON object a line")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        return _compare(args) if args.compare else _make(args) if args.make else _evaluate(args)
    except KBError as error:
        print(f"eval: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("eval: stopped; `--out` with the folder of this run goes on with it.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _compare(args: argparse.Namespace) -> int:
    from eval.compare import compare_runs
    from eval.runs import read_run

    comparison = compare_runs(*(read_run(path) for path in args.compare))
    print(json.dumps(comparison.as_json(), ensure_ascii=False, indent=1) if args.json else "\n".join(comparison.lines()))
    return 0


def _make(args: argparse.Namespace) -> int:
    from eval.make import make_questions
    from eval.question_sets import write_set
    from kb.base import KnowledgeBase
    from kb.settings import load_settings

    if args.out is None:
        raise KBError("--make writes a file: name it with --out FILE.jsonl.")
    base = KnowledgeBase.open(args.kb, load_settings(data_base=args.data_base))
    made = make_questions(base, args.make, args.language)
    write_set(args.out, made)
    print(f"{len(made)} questions of {args.kb!r} are in {args.out}: read them before you trust their figures.")
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from eval.compare import gate
    from eval.judge import judge_of
    from eval.report import table
    from eval.run import evaluate
    from eval.runs import read_run, save_baseline
    from kb.progress import bar_to
    from kb.settings import load_settings

    baseline = read_run(args.gate) if args.gate else None  # before the questions are asked: it may not be there
    settings = load_settings(data_base=args.data_base)
    judge = judge_of(settings, args.judge_url, args.judge_model) if args.judge else None
    with bar_to(args.progress) as bar:
        run = evaluate(settings, args.kb, args.questions, args.out, args.jobs, args.limit, bar, judge, args.model)
    if args.save_baseline:
        save_baseline(run, args.save_baseline)
    print(json.dumps(run.as_json(), ensure_ascii=False, indent=1) if args.json else "\n".join(table(run)))
    if baseline is not None:
        return _judge_gate(gate(run, baseline), run, args.gate)
    return 3 if run.failed or run.problems else 0


def _judge_gate(dropped: "list[Difference]", run: "Run", name: Path) -> int:
    for one in dropped:
        print(
            f"eval: {one.metric} dropped from {one.a:.3f} to {one.b:.3f}, interval of the difference {one.interval}, "
            f"lost: {' '.join(one.lost)}",
            file=sys.stderr,
        )
    if not dropped:
        print(f"eval: {len(run.scores)} cases, no metric is worse than in {name} beyond chance.", file=sys.stderr)
    return 1 if dropped else 0


if __name__ == "__main__":
    sys.exit(main())
