"""A run as a table for the terminal."""

import time

from eval.figures import Figures
from eval.runs import Run

_SLICE_COLUMNS = (
    "hit@1",
    "hit@5",
    "mrr@10",
    "ndcg@10",
    "citation_precision",
    "answer_key",
    "em",
    "f1",
    "refusal_f1",
    "false_refusal_rate",
)


def table(run: Run) -> list[str]:
    """The lines: what was asked, each overall figure with its interval, the slices, and what needs a look."""
    header = run.header
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(header["started"]))
    load = f"{header['jobs']} questions at a time, so under load" if header["latency_under_load"] else "one question at a time"
    machine = header["machine"]
    out = [
        f"{header['cases']} questions of {header['questions']} to {header['kb']!r}, generation {header['generation']}, {when}",
        f"{header['settings']['answers']}, {header['settings']['embed_model']}; {machine['cores']} cores, {machine['platform']}",
        "",
        f"{'metric':<36} {'value':>9}  95 % interval",
    ]
    for name, value in run.overall.items():
        if name in ("cases", "failed") or value is None:
            continue
        between = run.intervals.get(name)
        note = f"  ({load})" if name == "latency_p50_ms" else ""
        shown = f"[{_figure(name, between[0])}, {_figure(name, between[1])}]" if between else "-"
        out.append(f"{name:<36} {_figure(name, value):>9}  {shown}{note}")
    none = [name for name, value in run.overall.items() if value is None]
    if none:
        out.append(f"no cases for: {', '.join(none)}")
    out += _slices(run.metrics["slices"], run.overall)
    out += [f"failed: {id_}: {why}" for id_, why in run.failed.items()]
    out += [f"left out: {problem}" for problem in run.problems]
    return out


def _slices(slices: dict[str, Figures], overall: Figures) -> list[str]:
    shown = [name for name in _SLICE_COLUMNS if overall.get(name) is not None]
    if not slices or not shown:
        return []
    width = max(map(len, slices)) + 1
    out = ["", f"{'slice':<{width}} {'cases':>5} " + " ".join(f"{name:>{max(7, len(name))}}" for name in shown)]
    for part, figures in slices.items():
        cells = (f"{_figure(name, figures[name]):>{max(7, len(name))}}" for name in shown)
        out.append(f"{part:<{width}} {figures['cases'] or 0:>5.0f} " + " ".join(cells))
    return out


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if name.endswith("_ms") else f"{value:.3f}"
