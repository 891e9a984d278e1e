"""Ask every question of a set the way the page asks it, and keep what came."""

import asyncio
import fcntl
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import kb
from eval.cases import Case, CaseSet, read_cases
from eval.judge import Judge, judged
from eval.lines import CaseLine, LineHit, LineQuote, read_lines
from eval.runs import FORMAT, HEADER, LINES, QUESTIONS, REPORT, Run, make_run, write_json, writing
from eval.score import score_cases
from kb.answer import ask
from kb.errors import KBError
from kb.jobs import Progress
from kb.llm.chat import Chat
from kb.records import Done, Failed, Found, Hit, Quote, first_line
from kb.serving import SETTINGS, lease, live_name

# Settings that an answer does not depend on. All others are kept with a run, also those that are yet to come.
_ASIDE = frozenset(
    "data_base source_roots chunk_chars load_seconds load_mib max_file_mib embed_model embed_revision embed_device query_prefix "
    "passage_prefix endpoint_url connect_seconds first_token_seconds next_token_seconds rewrite_seconds "
    "model_device model_gib smoke_seconds drain_seconds tools hub_endpoint modelscope_endpoint hub_seconds".split()
).union(name for name, field in kb.Settings.model_fields.items() if not field.repr)  # secrets, never
_OF_ENDPOINT = frozenset("endpoint_model prompt_chars temperature max_tokens rewrite".split())
_SAME = {"kb": "the knowledge base", "generation": "its generation", "indexed": "when that was indexed",
         "questions_sha256": "the questions", "settings": "the settings"}  # fmt: skip


def evaluate(
    settings: kb.Settings,
    name: str,
    questions: Path,
    out: Path | None = None,
    jobs: int = 1,
    limit: int | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    judge: Judge | None = None,
    model: str = "",
) -> Run:
    """Ask the first `limit` questions of a file of the knowledge base `name`, `jobs` at a time, and score the answers.

    `out` (default: a new folder under data_base/runs) gets a line as each answer ends; a run that was cut short goes on there.
    All questions are asked of the generation that is live at the start. An answer that fails is a case that failed. `judge`
    (see eval.judge.judge_of) judges the answers afterwards. `model` answers all of them, by default the one that answers now.

    Raises:
        KBError: the questions, the knowledge base or the folder cannot be used.
    """
    model = model or live_name(settings)
    with lease(settings, model) as chat:  # a model that cannot be loaded ends the run, not each case
        return _evaluate(settings, name, questions, out, jobs, limit, progress, judge, model, chat)


def _evaluate(
    settings: kb.Settings,
    name: str,
    questions: Path,
    out: Path | None,
    jobs: int,
    limit: int | None,
    progress: Callable[[Progress], None],
    judge: Judge | None,
    model: str,
    chat: Chat | None,
) -> Run:
    asked = read_cases(questions)
    if limit is not None:
        asked = replace(asked, cases=asked.cases[:limit])
    base = kb.KnowledgeBase.open(name, settings)
    snapshot = base.snapshot()
    base.embedder(snapshot)  # a knowledge base of another model ends the run, not each case
    header = _header(settings, name, snapshot, asked, jobs, model, chat)
    folder = out or settings.data_base / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _only_run(folder) as file:
        header = _begin(folder, header)
        with writing(folder):
            shutil.copyfile(questions, folder / QUESTIONS)
        done = _keep_whole_lines(folder / LINES, file)
        left = [case for case in asked.cases if case.id not in done]
        progress(
            Progress("Answer", len(asked.cases) - len(left), len(asked.cases), "questions", note=f"The run is kept in {folder}.")
        )
        for line in _answers(left, base, snapshot, settings, jobs, progress, len(asked.cases), model):
            with writing(folder):
                file.write(line.as_json().encode() + b"\n")
                file.flush()
            done[line.id] = line
        lines = {case.id: done[case.id] for case in asked.cases}
        most = max(line.jobs for line in lines.values())
        header |= {"jobs": most, "latency_under_load": most > 1, "ended": round(time.time(), 1), "cases": len(lines)}
        scores, problems = score_cases(asked.cases, lines), [str(problem) for problem in asked.problems]
        if judge is not None:
            by_id = {case.id: case for case in asked.cases}
            scores, not_judged = judged(scores, by_id, lines, judge, folder, jobs, progress)
            problems += not_judged
            header["judge"] = judge.name
        run = make_run(header, scores, problems, lines)
        write_json(folder / REPORT, run.as_json(scores=True))
    return run


def _header(
    settings: kb.Settings, name: str, snapshot: kb.Generation, asked: CaseSet, jobs: int, model: str, chat: Chat | None
) -> dict[str, Any]:
    """What a run is: which answers were asked for, and on what machine."""
    quotes, named = chat is None, model != SETTINGS
    aside = _ASIDE | (_OF_ENDPOINT if quotes else {"endpoint_model"} if named else frozenset())
    matter = settings.model_dump(mode="json", exclude=set(aside))
    matter |= {
        "embed_model": str(snapshot.manifest.fingerprint),
        "answers": "quotations" if quotes else "model" if named else "endpoint",
    }
    if named and not quotes:
        matter["model"] = model
    machine = {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    return {
        "format": FORMAT, "kb": name, "generation": snapshot.number, "indexed": snapshot.manifest.created,
        "documents": snapshot.manifest.documents, "chunks": snapshot.manifest.chunks, "questions": asked.name,
        "questions_sha256": asked.sha256, "cases": len(asked.cases), "settings": matter, "jobs": jobs, "version": kb.__version__,
        "started": round(time.time(), 1), "machine": machine,
    }  # fmt: skip


@contextmanager
def _only_run(folder: Path) -> Iterator[BinaryIO]:
    """The file of lines, open for this run alone."""
    with writing(folder):
        file = (folder / LINES).open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise KBError(f"Another run is writing to {folder}: wait for it, or evaluate into another folder.") from error
        yield file


def _begin(folder: Path, header: dict[str, Any]) -> dict[str, Any]:
    """Write run.json, or go on with the run that it tells of if that is the same; returns the header of the whole run."""
    path = folder / HEADER
    try:
        before = json.loads(path.read_text("utf-8"))
        different = [text for key, text in _SAME.items() if before[key] != header[key]]
    except FileNotFoundError:
        if (folder / LINES).stat().st_size:
            raise KBError(f"{folder} has answers but no {HEADER}: evaluate into another folder.") from None
        write_json(path, header)
        return header
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KBError(f"{path} is damaged ({error!r}): evaluate into another folder.") from error
    if "the settings" in different:
        old, new = before["settings"], header["settings"]
        names = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        different[different.index("the settings")] = f"the settings ({', '.join(names)})"
    if different:
        raise KBError(f"{folder} holds another run, different in {' and '.join(different)}: evaluate into another folder.")
    return header | {"started": before["started"]}


def _keep_whole_lines(path: Path, file: BinaryIO) -> dict[str, CaseLine]:
    done, size = read_lines(path)
    file.truncate(size)  # a line that a killed run did not finish
    return done


def _answers(
    cases: Sequence[Case],
    base: kb.KnowledgeBase,
    snapshot: kb.Generation,
    settings: kb.Settings,
    jobs: int,
    progress: Callable[[Progress], None],
    total: int,
    model: str,
) -> Iterator[CaseLine]:
    """The lines of cases as they end. Closing the iterator, or Ctrl-C, stops those that are on their way."""
    several = len(base.sources()) > 1
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_default_executor(ThreadPoolExecutor(jobs, "case"))  # the answer's threads: none waits for another's case

        async def warm() -> None:
            """So that the first cases are not charged with loading the model, the words and each thread's files."""
            await asyncio.gather(*(asyncio.to_thread(base.find, "warm 预热", (), snapshot) for _ in range(jobs)))

        if cases:
            runner.run(warm())
        began, done = time.monotonic(), total - len(cases)
        waiting, running = iter(cases), set[asyncio.Task[CaseLine]]()

        async def step() -> list[CaseLine]:
            while len(running) < jobs and (case := next(waiting, None)):
                running.add(asyncio.create_task(_answer(case, base, snapshot, settings, jobs, several, model)))
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running.difference_update(ended)
            return [task.result() for task in ended]

        while done < total:
            for line in runner.run(step()):
                done += 1
                rate = (done - total + len(cases)) / (time.monotonic() - began)
                progress(Progress("Answer", done, total, "questions", round(rate, 2), round((total - done) / rate, 1)))
                yield line


async def _answer(
    case: Case, base: kb.KnowledgeBase, snapshot: kb.Generation, settings: kb.Settings, jobs: int, several: bool, model: str
) -> CaseLine:
    began = time.perf_counter()
    line = CaseLine(case.id, case.question, jobs)
    try:
        async with aclosing(ask(case.question, case.history, base, settings, snapshot, model)) as events:
            async for event in events:
                seconds = round(time.perf_counter() - began, 4)
                match event:
                    case Found():
                        if event.generation != snapshot.number:
                            raise KBError(f"Generation {snapshot.number} was removed while it was asked: evaluate again.")
                        line = _with_found(line, event, seconds, several)
                    case Done():
                        quotes = tuple(_quote(quote, line.hits) for quote in event.quotes)
                        line = replace(line, refused=event.refused, answer=event.text, quotes=quotes, seconds=seconds)
                    case Failed(message):
                        line = replace(line, failed=message)
    except KBError as error:
        line = replace(line, failed=str(error))
    except Exception as error:  # a mistake of ours in one answer: told with its case, and the others are still asked
        line = replace(line, failed=f"Unexpected {type(error).__name__}: {error}")
    if not line.failed and line.seconds is None:
        line = replace(line, failed="The answer ended without an end.")
    return line


def _with_found(line: CaseLine, found: Found, seconds: float, several: bool) -> CaseLine:
    ranked: dict[str, tuple[str, ...]] = {}
    for hit in found.hits:
        named = (hit.path, *hit.also, *((f"{hit.source}/{hit.path}",) if several else ()))
        ranked.setdefault(hit.chunk.document, tuple(dict.fromkeys(named)))
    hits = tuple(map(_hit, found.hits))
    return replace(line, ranked=tuple(ranked.values()), hits=hits, confidence=round(found.confidence, 6), found_seconds=seconds)


def _hit(hit: Hit) -> LineHit:
    chunk = hit.chunk
    return LineHit(hit.n, hit.source, hit.path, hit.also, chunk.start, chunk.end, chunk.heading, chunk.text, hit.score)


def _quote(quote: Quote, hits: Sequence[LineHit]) -> LineQuote:
    """The lines of a citation, cut out of its passage."""
    hit = next(hit for hit in hits if hit.n == quote.n)
    lines = hit.text.split("\n")
    first = first_line(hit.start, hit.end, hit.text)
    return LineQuote(quote.n, hit.path, quote.start, quote.end,
                     "\n".join(lines[max(hit.start, quote.start) - first : quote.end - first + 1]))  # fmt: skip
