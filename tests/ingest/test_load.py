"""load: good files give their text, bad ones a sentence; the time and memory of foreign ones are bounded."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest import foreign, reader
from ingest.files import Unreadable
from ingest.load import Loaded, Loader
from ingest.scan import ScannedFile, scan
from ingest.split import split
from kb.records import WHY_SKIPPED, Document, Source
from kb.settings import Settings
from tests.ingest import nasty

LIMITS = Settings(max_file_mib=1, load_mib=256, load_seconds=20)


@pytest.fixture(scope="module")
def loader() -> Iterator[Loader]:
    with Loader(LIMITS) as loader:
        yield loader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    root = tmp_path_factory.mktemp("nasty")
    return root, *nasty.build(root)


@pytest.fixture(scope="module")
def everything(folder: tuple[Path, list[str], list[str]], loader: Loader) -> dict[str, Loaded]:
    """What each file of the nasty folder gives, by path."""
    scanned = scan(Source("nasty", str(folder[0])), LIMITS)
    loaded = {skipped.path: Loaded(skipped=(skipped,)) for skipped in scanned.skipped}
    return loaded | {file.path: loader.load(file) for file in scanned.files}


def load(loader: Loader, path: Path, data: bytes | str) -> Loaded:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return loader.load(ScannedFile("s", path.name, path, 0, 0, ""))


def only(loaded: Loaded) -> Document:
    assert loaded.skipped == ()
    (document,) = loaded.documents
    return document


def test_every_good_file_gives_its_text(folder: tuple[Path, list[str], list[str]], everything: dict[str, Loaded]) -> None:
    assert len(folder[1]) == 30
    for path in folder[1]:
        assert everything[path].skipped == (), path
        assert everything[path].documents, path
        for document in everything[path].documents:
            assert nasty.phrase(path) in document.text, path
            assert document.file == path
            assert split(document, 1000)


def test_every_nasty_file_is_read_or_reported(folder: tuple[Path, list[str], list[str]], everything: dict[str, Loaded]) -> None:
    assert len(folder[2]) >= 30
    for path in folder[2]:
        loaded = everything[path]
        assert loaded.documents or loaded.skipped, path
        for skipped in loaded.skipped:
            assert skipped.reason in WHY_SKIPPED
            assert len(skipped.sentence) > 10
            assert "0x" not in skipped.sentence, "an address changes from run to run"
        for document in loaded.documents:
            document.text.encode()
            assert "\0" not in document.text
            split(document, 1000)


@pytest.mark.parametrize("path", nasty.EXPECTED)
def test_odd_encodings_are_read_exactly(path: str, everything: dict[str, Loaded]) -> None:
    assert only(everything[path]).text == nasty.EXPECTED[path]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("text/nul.txt", "binary"),
        ("text/png.md", "binary"),
        ("text/truncated-utf8.md", "encoding"),
        ("text/only-front-matter.md", "empty"),
        ("broken/cut.docx", "broken"),
        ("broken/bomb.docx", "memory"),
        ("broken/old.docx", "broken"),
        ("broken/cut.pdf", "broken"),
        ("broken/empty-page.pdf", "empty"),
        ("broken/cut.epub", "broken"),
        ("broken/cut.ipynb", "broken"),
        ("broken/deep.ipynb", "broken"),
        ("broken/surrogate.ipynb", "broken"),
        ("broken/rows.jsonl", "data"),
        ("sizes/one-line-above.txt", "too-big"),
        ("special/pipe.md", "special"),
    ],
)
def test_what_is_wrong_is_named(path: str, reason: str, everything: dict[str, Loaded]) -> None:
    assert [skipped.reason for skipped in everything[path].skipped] == [reason]
    assert everything[path].documents == ()


def test_titles(everything: dict[str, Loaded]) -> None:
    titles = {path: loaded.documents[0].title for path, loaded in everything.items() if loaded.documents}
    assert titles["guide/install.md"] == "About landmarkguideinstallmd"
    assert titles["notes/plain.txt"] == "plain"
    assert titles["books/tour.ipynb"] == "The landmarkbookstouripynb notebook"
    assert titles["web/page.html"] == "Page of landmarkwebpagehtml"
    assert titles["office/paper.pdf"] == "The landmarkofficepaperpdf paper"
    assert titles["office/novel.epub"] == "The landmarkofficenovelepub novel"


def test_front_matter_titles_a_page_without_a_first_heading(loader: Loader, tmp_path: Path) -> None:
    text = "---\ntitle: 'Stated'\n---\n\nA text.\n\n## Second\n\nMore.\n"
    assert only(load(loader, tmp_path / "a.md", text)).title == "Stated"
    assert only(load(loader, tmp_path / "a.md", text + "\n# First\n")).title == "First"


def test_structure_of_foreign_formats(everything: dict[str, Loaded]) -> None:
    html = only(everything["web/page.html"]).text
    assert "# The landmarkwebpagehtml page\n" in html
    assert "```\nrun landmarkwebpagehtml\n  --fast\n```" in html
    assert "| key | value |\n| --- | --- |\n| landmarkwebpagehtml | a\\|b |" in html
    assert "| key | value |" in only(everything["office/report.docx"]).text
    assert "# Sheet\n" in only(everything["office/prices.xlsx"]).text
    assert "# p. 2\n\nMore of it" in only(everything["office/paper.pdf"]).text
    assert "# The second slide (p. 2)" in only(everything["office/slides.pptx"]).text


def test_a_paragraph_is_no_markup(loader: Loader, tmp_path: Path) -> None:
    page = (
        "<html><body><p># not a heading</p><p>```</p><p>&lt;!-- shown --&gt; text</p><h2>A heading</h2><p>End.</p></body></html>"
    )
    document = only(load(loader, tmp_path / "a.html", page))
    assert document.title == "A heading"
    assert "End." in split(document, 1000)[-1].text
    assert "\\# not a heading" in document.text
    assert "\\```" in document.text


@pytest.mark.parametrize(
    ("charset", "text"),
    [("windows-1251", "Это документ на русском языке."), ("gb2312", "这是一份中文文档。"), ("utf-8", "中文 é")],
)
def test_a_page_may_declare_its_charset(loader: Loader, tmp_path: Path, charset: str, text: str) -> None:
    page = f'<html><head><meta charset="{charset}"></head><body><p>{text}</p></body></html>'
    assert text in only(load(loader, tmp_path / "a.html", page.encode(charset))).text


def test_rows_are_documents_under_their_ids(loader: Loader, tmp_path: Path) -> None:
    rows: list[object] = [{"id": f"docs/{n}.md", "title": f"T{n}", "text": f"# H{n}\r\nText {n}."} for n in range(3)]
    rows += [{"id": 7, "title": "", "text": "plain"}, [1], {"id": "x"}, {"id": "y", "title": "t", "text": "\ud800"}]
    loaded = load(loader, tmp_path / "rows.jsonl", "\n".join(map(json.dumps, rows)) + "\n{\n\n")
    assert [(d.path, d.file, d.kind, d.title) for d in loaded.documents] == [
        ("docs/0.md", "rows.jsonl", "markdown", "T0"),
        ("docs/1.md", "rows.jsonl", "markdown", "T1"),
        ("docs/2.md", "rows.jsonl", "markdown", "T2"),
        ("7", "rows.jsonl", "text", "7"),
    ]
    assert loaded.documents[0].text == "# H0\nText 0."
    assert [(s.path, s.reason) for s in loaded.skipped] == [(f"rows.jsonl:{n}", "bad-row") for n in (5, 6, 7, 8)]
    assert len({document.key for document in loaded.documents}) == 4


def test_many_bad_rows_are_summed_up(loader: Loader, tmp_path: Path) -> None:
    loaded = load(loader, tmp_path / "rows.jsonl", '{"id": "a", "title": "t", "text": "x"}\n' + "no json\n" * 100)
    assert len(loaded.skipped) == 21
    assert loaded.skipped[-1].path == "rows.jsonl"
    assert "80 more, the first in line 22" in loaded.skipped[-1].sentence


def test_what_a_bad_row_holds_is_shown_in_one_line(loader: Loader, tmp_path: Path) -> None:
    rows = [{"id": "a", "title": "two\nlines", "text": "x"}, {"\ud800": 1}, {"a\nb": 1}, {"id": "a\nb", "title": "", "text": "x"}]
    loaded = load(loader, tmp_path / "rows.jsonl", "\n".join(map(json.dumps, rows)))
    assert [document.title for document in loaded.documents] == ["two lines"]
    assert [skipped.detail for skipped in loaded.skipped] == [
        "no id, title, text among \\ud800",
        "no id, title, text among a b",
        "a line end or control character in its id",
    ]


def test_a_notebook_reads_as_a_page(loader: Loader, tmp_path: Path) -> None:
    code = {"cell_type": "code", "source": ["x = '```'\n", "x"], "outputs": [
        {"output_type": "display_data", "data": {"image/png": "iVBOR" * 100, "text/plain": "<Figure>"}},
        {"output_type": "stream", "text": "line\n" * 100},
        {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\x1b[31mlong"]},
    ]}  # fmt: skip
    cells = [{"cell_type": "markdown", "source": "# T\n\n![a](data:image/png;base64,AAAA)"}, code, {"cell_type": "raw"}, 3]
    book = {"cells": cells, "metadata": {"language_info": {"name": "R"}}}
    text = only(load(loader, tmp_path / "a.ipynb", json.dumps(book))).text
    assert "````R\nx = '```'\nx\n````" in text
    assert "ValueError: no" in text
    assert text.count("line\n") == 20
    assert "base64" not in text
    assert "iVBOR" not in text
    assert "traceback" not in text


def test_what_changed_since_the_scan(loader: Loader, tmp_path: Path) -> None:
    gone = loader.load(ScannedFile("s", "a.md", tmp_path / "a.md", 0, 0, ""))
    assert [skipped.reason for skipped in gone.skipped] == ["vanished"]
    gone = loader.load(ScannedFile("s", "a.pdf", tmp_path / "a.pdf", 0, 0, ""))
    assert [skipped.reason for skipped in gone.skipped] == ["vanished"]
    os.mkfifo(tmp_path / "b.md")
    pipe = loader.load(ScannedFile("s", "b.md", tmp_path / "b.md", 0, 0, ""))
    assert [skipped.reason for skipped in pipe.skipped] == ["special"]


def test_time_is_bounded_and_nothing_stays_behind(folder: tuple[Path, list[str], list[str]]) -> None:
    bomb = folder[0] / "broken/bomb.docx"
    with Loader(Settings(load_seconds=0.5, load_mib=8000)) as loader:
        loader.load(ScannedFile("s", "a.docx", folder[0] / "office/report.docx", 0, 0, ""))  # imports are not counted
        started = time.monotonic()
        loaded = loader.load(ScannedFile("s", "bomb.docx", bomb, 0, 0, ""))
        assert [skipped.sentence for skipped in loaded.skipped] == ["took longer than 0.5 s to read"]
        assert time.monotonic() - started < 3
        assert loader._reader is not None
        pid = loader._reader.pid
        assert _children(pid) == []
    assert not Path(f"/proc/{pid}").exists()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_the_next_file_goes_on_after_the_reader_died(folder: tuple[Path, list[str], list[str]]) -> None:
    paper = ScannedFile("s", "a.pdf", folder[0] / "office/paper.pdf", 0, 0, "")
    with Loader(LIMITS) as loader:
        only(loader.load(paper))
        assert loader._reader is not None
        os.kill(loader._reader.pid, signal.SIGKILL)
        loader.load(paper)  # may be lost with the reader
        only(loader.load(paper))


def _request(seconds: float = 10) -> dict[str, object]:
    return {"path": b"/nothing".hex(), "kind": "pdf", "limit": 1000, "seconds": seconds, "mib": 256}


@pytest.mark.parametrize(
    ("act", "reply"),
    [
        (lambda *_: os.kill(os.getpid(), signal.SIGTRAP), {"reason": "broken", "detail": "its reader crashed (SIGTRAP)"}),
        (lambda *_: os._exit(5), {"reason": "broken", "detail": "its reader crashed (exit status 5)"}),
        (lambda *_: bytearray(1 << 40), {"reason": "memory", "detail": "256 MiB"}),
        (lambda *_: [bytes(1 << 20) for _ in range(2000)], {"reason": "memory", "detail": "256 MiB"}),
        (lambda *_: 1 / 0, {"reason": "broken", "detail": "ZeroDivisionError: division by zero"}),
        (lambda *_: _raise(ValueError("two\n lines, \x9d")), {"reason": "broken", "detail": "ValueError: two lines, \\x9d"}),
        (lambda *_: _raise(Unreadable("empty", "it is")), {"reason": "empty", "detail": "it is"}),
        (lambda *_: ("t", "text \u4e2d"), {"title": "t", "text": "text \u4e2d"}),
    ],
)  # fmt: skip
def test_what_a_child_may_do(monkeypatch: pytest.MonkeyPatch, act: object, reply: dict[str, str]) -> None:
    monkeypatch.setattr(foreign, "to_markdown", act)
    assert reader._serve(_request()) == reply


_FILL = """
import sys
from ingest import foreign, reader

def fill(*_):
    kept = []
    try:
        while True:
            kept.append(b"x" * 1024**2)
    except MemoryError:
        kept.clear()
    return "", str(reader._most_memory() // 1024**2)

foreign.to_markdown = fill
print(reader._serve({"path": b"/nothing".hex(), "kind": "pdf", "limit": 1000, "seconds": 10, "mib": 1024})["text"])
"""


def test_the_memory_of_the_libraries_is_part_of_the_limit() -> None:
    # In a process of its own: the most that this one ever had is the work of other tests.
    done = subprocess.run([sys.executable, "-c", _FILL], capture_output=True, text=True, check=True)
    assert 800 < int(done.stdout) <= 1024


def test_pandoc_keeps_within_the_memory_limit(loader: Loader, tmp_path: Path) -> None:
    image = 'x"/>' + "<b>a</b> " * 100_000 + '<img src="x'
    loaded = load(loader, tmp_path / "a.epub", nasty.epub("bomb", image))
    assert [skipped.sentence for skipped in loaded.skipped] == ["needs more memory than 256 MiB to read"]


def _raise(error: Exception) -> None:
    raise error


def test_programs_that_a_child_started_end_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def start_and_wait(*_: object) -> tuple[str, str]:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(60)
            os._exit(0)
        (tmp_path / "pid").write_text(str(grandchild))
        time.sleep(60)
        return "", ""

    monkeypatch.setattr(foreign, "to_markdown", start_and_wait)
    assert reader._serve(_request(seconds=0.5)) == {"reason": "timeout", "detail": "0.5 s"}
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    deadline = time.monotonic() + 5
    while status.exists() and status.read_text().split(") ")[1][0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not status.exists() or status.read_text().split(") ")[1][0] == "Z"


def test_a_document_reaches_no_network(loader: Loader, tmp_path: Path) -> None:
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        def listen() -> None:
            while not called.is_set():
                try:
                    server.accept()
                    called.set()
                except TimeoutError:
                    if done.is_set():
                        return

        done = threading.Event()
        listener = threading.Thread(target=listen)
        listener.start()
        url = f"http://127.0.0.1:{port}/x"
        page = (
            f'<!DOCTYPE html SYSTEM "{url}.dtd"><html><head><link rel="stylesheet" href="{url}.css"><base href="{url}"></head>'
            f'<body><img src="{url}.png"><iframe src="{url}"></iframe><p>Some text.</p></body></html>'
        )
        only(load(loader, tmp_path / "a.html", page))
        only(load(loader, tmp_path / "a.epub", nasty.epub("net", image=f"{url}.png")))
        done.set()
        listener.join()
    assert not called.is_set()


def test_the_reader_refuses_sockets() -> None:
    with pytest.raises(PermissionError, match="no business"):
        reader._no_network("socket.connect", ())
    reader._no_network("open", ())
