"""A folder of thirty good files in every format, and more nasty ones than that. Also for the end-to-end tests.

`EXPECTED` says which nasty text files must be read to exactly which text; the others are read or reported.
"""

import contextlib
import io
import json
import os
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

_ZH = "书生·浦语大模型的知识库可以回答问题，也会指出答案出自哪一份文档的哪一行。安装之前请先阅读说明，然后运行下面的命令。\n"
_ZH_TW = "這個知識庫可以回答問題，也會指出答案出自哪一份文件的哪一行。安裝之前請先閱讀說明，然後執行下面的指令。\n"
_JA = "このデータベースは質問に答え、答えがどの文書のどの行にあるかを示します。インストールする前に説明を読んでください。\n"
_KO = "이 지식 베이스는 질문에 대답하고 그 대답이 어느 문서의 어느 줄에 있는지를 보여 줍니다. 설치하기 전에 설명을 읽으십시오.\n"
_FR = "L'été dernier, les élèves ont déjà reçu la réponse à leurs questions ; voilà où elle se trouve. Ça coûte 5 €.\n"

EXPECTED: dict[str, str] = {
    "enc/gb18030.md": _ZH,
    "enc/big5.txt": _ZH_TW,
    "enc/shift_jis.md": _JA,
    "enc/euc_kr.txt": _KO,
    "enc/latin.md": _FR,
    "enc/utf8-bom.md": "# 标题\n\n" + _ZH,
    "enc/utf16-bom.md": "# 标题\n\n" + _ZH,
    "enc/utf16-be-bom.md": "# 標題\n\n" + _ZH_TW,
    "enc/utf16-no-bom.md": "# A title in ASCII\n\n" + _ZH,
    "enc/utf32-bom.md": "# 标题\n\n" + _JA,
    "enc/crlf.md": "# Title\n\nLine one of a text.\nLine two of it.\n",
    "enc/lone-cr.md": "# Title\n\nLine one of an old text.\nLine two of it.\n",
}
_ENCODERS: dict[str, Callable[[str], bytes]] = {
    "enc/gb18030.md": lambda text: text.encode("gb18030"),
    "enc/big5.txt": lambda text: text.encode("big5"),
    "enc/shift_jis.md": lambda text: text.encode("shift_jis"),
    "enc/euc_kr.txt": lambda text: text.encode("euc_kr"),
    "enc/latin.md": lambda text: text.encode("cp1252"),
    "enc/utf8-bom.md": lambda text: text.encode("utf-8-sig"),
    "enc/utf16-bom.md": lambda text: text.encode("utf-16"),
    "enc/utf16-be-bom.md": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "enc/utf16-no-bom.md": lambda text: text.encode("utf-16-le"),
    "enc/utf32-bom.md": lambda text: text.encode("utf-32"),
    "enc/crlf.md": lambda text: text.replace("\n", "\r\n").encode(),
    "enc/lone-cr.md": lambda text: text.replace("\n", "\r").encode(),
}


def phrase(path: str) -> str:
    """What a question about the good file `path` can ask for: a word that no other file holds."""
    return "landmark" + "".join(character for character in path if character.isalnum())


def build(folder: Path, max_file_mib: int = 1) -> tuple[list[str], list[str]]:
    """Fill `folder`; the paths of the good files and of the nasty ones.

    Two of the nasty ones are a little smaller and larger than `max_file_mib`.
    """
    good = [*_GOOD, *(f"readmes/{n}/README.md" for n in range(1, 9))]
    for path in good:
        make = next((maker for ending, maker in _MAKERS.items() if path.endswith(ending)), None)
        assert make is not None, path
        _write(folder / path, make(phrase(path)))
    return good, [*_texts(folder), *_broken(folder), *_names(folder), *_sizes(folder, max_file_mib), *_special(folder)]


_GOOD = (
    "guide/install.md",
    "guide/用法.md",
    "guide/a b, c.markdown",
    "guide/🚀.md",
    "-dash.md",
    "notes/plain.txt",
    "notes/笔记.txt",
    "notes/README",
    "notes/api.rst",
    "notes/faq.rst",
    "rows/corpus.jsonl",
    "books/tour.ipynb",
    "books/r.ipynb",
    "web/page.html",
    "web/old.htm",
    "office/report.docx",
    "office/slides.pptx",
    "office/prices.xlsx",
    "office/paper.pdf",
    "office/novel.epub",
    "office/letter.odt",
    "deep/" + "d/" * 40 + "end.md",
)


def seed(ending: str) -> bytes:
    """The good file of a format, by the end of its name."""
    return _MAKERS[ending](phrase(ending))


def encoded() -> dict[str, bytes]:
    """The texts of `EXPECTED` in their encodings."""
    return {path: _ENCODERS[path](text) for path, text in EXPECTED.items()}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _markdown(word: str) -> bytes:
    command = f"```bash\npip install {word}\n```"
    table = f"| a | b |\n| - | - |\n| {word} | 2 |"
    return f"# About {word}\n\nThe {word} is set with a command:\n\n{command}\n\n{table}\n".encode()


def _text(word: str) -> bytes:
    return f"Notes about {word}\n\nThis is a paragraph on {word}, in plain words. It ends here.\n".encode()


def _rst(word: str) -> bytes:
    command = f".. code-block:: bash\n\n   pip install {word}\n"
    return f"About {word}\n===========\n\nThe {word} is explained here.\n\n{command}".encode()


def _jsonl(word: str) -> bytes:
    rows = [{"id": f"{word}-{n}", "title": f"Row {n}", "text": f"Row {n} says {word}. " * 3} for n in range(3)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _notebook(word: str) -> bytes:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": [f"# The {word} notebook\n", "\n", "It explains."]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "source": f"print({word!r})",
            "outputs": [{"output_type": "stream", "name": "stdout", "text": [word + "\n"]}],
        },
    ]
    metadata = {"kernelspec": {"language": "python"}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def _html(word: str) -> bytes:
    return (
        f"<html><head><title>Page of {word}</title></head><body><h1>The {word} page</h1>"
        f"<p>A paragraph about {word}, long enough to be one. And another sentence.</p><h2>Steps</h2>"
        f"<pre><code>run {word}\n  --fast</code></pre><table><tr><th>key</th><th>value</th></tr>"
        f"<tr><td>{word}</td><td>a|b</td></tr></table></body></html>"
    ).encode()


def _docx(word: str) -> bytes:
    import docx

    document = docx.Document()
    document.add_heading(f"The {word} report", 1)
    document.add_paragraph(f"A paragraph about {word}, long enough to be one. And another sentence.")
    table = document.add_table(2, 2)
    for cell, text in zip((cell for row in table.rows for cell in row.cells), ("key", "value", word, "7"), strict=True):
        cell.text = text
    return _saved(document.save)


def _pptx(word: str) -> bytes:
    import pptx

    slides = pptx.Presentation()
    for title in (f"The {word} talk", "The second slide"):
        slide = slides.slides.add_slide(slides.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = f"A point about {word}.\nAnother point."
    return _saved(slides.save)


def _xlsx(word: str) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (("name", "price"), (word, 3), ("pear", 4)):
        book.active.append(row)
    return _saved(book.save)


def _pdf(word: str) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    data = io.BytesIO()
    canvas = Canvas(data)
    for page in (1, 2):
        canvas.setFont("Helvetica", 24)
        canvas.drawString(72, 760, f"The {word} paper" if page == 1 else "More of it")
        canvas.setFont("Helvetica", 11)
        canvas.drawString(72, 700, f"Page {page} says something about {word} in a sentence.")
        canvas.showPage()
    canvas.save()
    return data.getvalue()


def epub(word: str, image: str = "http://example.invalid/x.png") -> bytes:
    """A book of one chapter with a picture from elsewhere."""
    container = (
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<package version="3.0" unique-identifier="id" xmlns="http://www.idpf.org/2007/opf"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The {word} novel</dc:title>'
        '<dc:identifier id="id">1</dc:identifier><dc:language>en</dc:language></metadata>'
        '<manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/>'
        '</manifest><spine><itemref idref="c"/></spine></package>'
    )
    chapter = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>c</title></head><body><h1>Chapter one</h1>'
        f'<p>It was about {word} all along. <img src="{image}" alt="x"/></p></body></html>'
    )
    parts = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "book.opf": package, "c.xhtml": chapter}
    return _zip(parts)


def _odt(word: str) -> bytes:
    return through_pandoc(f"# The {word} letter\n\nDear reader, this is about {word}.\n", "odt")


def through_pandoc(markdown: str, kind: str) -> bytes:
    """A Markdown text in another format."""
    import pypandoc

    with tempfile.NamedTemporaryFile(suffix=f".{kind}") as file:
        pypandoc.convert_text(markdown, kind, "markdown", outputfile=file.name)
        return Path(file.name).read_bytes()


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    data = io.BytesIO()
    save(data)
    return data.getvalue()


def _zip(parts: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as package:
        for name, text in parts.items():
            package.writestr(name, text)
    return data.getvalue()


_MAKERS: dict[str, Callable[[str], bytes]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    "notes/README": _text,
    ".rst": _rst,
    ".jsonl": _jsonl,
    ".ipynb": _notebook,
    ".html": _html,
    ".htm": _html,
    ".docx": _docx,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
    ".pdf": _pdf,
    ".epub": epub,
    ".odt": _odt,
}


def _texts(folder: Path) -> list[str]:
    """Text files that are odd in their encoding or their structure."""
    prose = "A sentence of prose that stands in this file. "
    odd = {
        "text/empty.md": b"",
        "text/spaces.md": b" \n\t\n  \n",
        "text/stub.md": b"# Title\n\nComing soon...\n",
        "text/only-front-matter.md": b"---\ntitle: Nothing\ntags: [a, b]\n---\n",
        "text/binary.md": bytes(range(256)) * 64,
        "text/png.md": b"\x89PNG\r\n\x1a\n" + struct.pack(">IIIII", 13, 1, 1, 8, 6) * 50,
        "text/nul.txt": b"Some text, then\x00NUL bytes\x00in it.\n" * 20,
        "text/noise.txt": os.urandom(4096),
        "text/truncated-utf8.md": ("# 标题\n\n" + _ZH).encode()[:-2],
        "text/deep-list.md": "".join(f"{'  ' * depth}- item {depth}\n" for depth in range(1000)).encode(),
        "text/deep-quote.md": (">" * 5000 + " quoted\n\n" + prose).encode(),
        "text/brackets.md": ("# Brackets\n\n" + "[" * 10_000 + "\n\n" + "![" * 5_000 + "](" * 5_000 + "\n\n" + prose).encode(),
        "text/tags.md": ("<" * 10_000 + "\n\n" + "<!-- " * 2_000 + "\n\n" + prose).encode(),
        "text/unclosed-fence.md": f"# Fence\n\n{prose}\n\n```python\nprint('never closed')\n\n# a comment, no heading\n".encode(),
        "text/huge-table.md": ("| key | value |\n| --- | --- |\n" + "".join(f"| k{n} | v{n} |\n" for n in range(5_000))).encode(),
        "text/long-row.md": ("| " + "x | " * 20_000 + "\n|" + " - |" * 20_000 + "\n").encode(),
        "text/zalgo.md": ("# Zalgo\n\n" + "a" + "\u0301" * 20_000 + "\n").encode(),
        "text/image.md": ("# Image\n\n" + prose + "\n\n![x](data:image/png;base64," + "iVBOR" * 4_000 + ")\n").encode(),
    }
    odd |= encoded()
    for path, data in odd.items():
        _write(folder / path, data)
    return list(odd)


def _broken(folder: Path) -> list[str]:
    """Files that are not what their names say."""
    docx, pdf, book = _docx("broken"), _pdf("broken"), epub("broken")
    odd = {
        "broken/cut.docx": docx[: len(docx) // 2],
        "broken/text.docx": b"this is no docx\n",
        "broken/bomb.docx": _bomb(docx),
        "broken/old.docx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2048),
        "broken/cut.pdf": pdf[: len(pdf) // 3],
        "broken/text.pdf": b"%PDF-1.4\nnothing follows\n",
        "broken/empty-page.pdf": _blank_pdf(),
        "broken/cut.pptx": _pptx("broken")[:5000],
        "broken/zip.xlsx": _zip({"hello.txt": "no workbook"}),
        "broken/cut.epub": book[: len(book) // 2],
        "broken/text.odt": b"no zip at all",
        "broken/unclosed.html": b"<html><body><div><table><tr><td>" + b"<div><b><i>" * 3_000 + b"still text",
        "broken/nothing.html": b"<html><head><script>let a = 1</script></head><body></body></html>",
        "broken/cut.ipynb": _notebook("broken")[:60],
        "broken/other.ipynb": b'{"cells": 7}',
        "broken/deep.ipynb": b"[" * 100_000,
        "broken/surrogate.ipynb": b'{"cells": [{"cell_type": "markdown", "source": "half \\ud800 of a pair"}]}',
        "broken/cut.jsonl": b'{"id": "cut-1", "title": "t", "text": "The first row is whole."}\n{"id": "cut-2", "ti',
        "broken/rows.jsonl": b'{"id": 1, "question": "no text?", "answer": "no"}\n' * 3,
        "broken/mixed.jsonl": b'{"id": "m1", "title": "t", "text": "A good row."}\n[1]\n'
        b'\n{"id": "m1", "title": "t", "text": "again"}\n',
        "broken/deep.jsonl": b"[" * 100_000 + b"\n",
    }
    for path, data in odd.items():
        _write(folder / path, data)
    return list(odd)


def _bomb(docx: bytes) -> bytes:
    """A docx of under 1 MiB whose main part unpacks to 120 MiB of paragraphs."""
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx)) as good, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bomb:
        for name in good.namelist():
            if name != "word/document.xml":
                bomb.writestr(name, good.read(name))
        with bomb.open("word/document.xml", "w") as part:
            part.write(b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>')
            filling = b"<w:p/>" * (1 << 20)
            for _ in range(20):
                part.write(filling)
            part.write(b"</w:body></w:document>")
    return data.getvalue()


def _blank_pdf() -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    data = io.BytesIO()
    canvas = Canvas(data)
    canvas.rect(10, 10, 200, 200, fill=1)
    canvas.showPage()
    canvas.save()
    return data.getvalue()


def _names(folder: Path) -> list[str]:
    """Names that are hard to show, to store or to pass on; each file in them is readable."""
    shown = {
        b"line\nbreak.md": "names/line\\nbreak.md",
        b"caf\xe9.md": "names/caf\\xe9.md",
        b"back\\slash.md": "names/back\\\\slash.md",
        b"--help.md": "names/--help.md",
        b"'; DROP TABLE files; --.md": "names/'; DROP TABLE files; --.md",
        "é".encode() * 100 + b".md": "names/" + "é" * 100 + ".md",
        b"%s {0} $HOME `x`.md": "names/%s {0} $HOME `x`.md",
    }
    (folder / "names").mkdir()
    for n, name in enumerate(shown):
        Path(os.fsdecode(os.fsencode(folder / "names") + b"/" + name)).write_bytes(f"# Name {n}\n\nA text of its own.\n".encode())
    return list(shown.values())


def _sizes(folder: Path, max_file_mib: int) -> list[str]:
    limit = max_file_mib * 1024 * 1024
    sentence = b"This one line goes on and on without an end. "
    _write(folder / "sizes/one-line-below.txt", (sentence * (limit // len(sentence)))[: limit - 1024] + b"\n")
    _write(folder / "sizes/one-line-above.txt", sentence * (limit // len(sentence) + 10))
    return ["sizes/one-line-below.txt", "sizes/one-line-above.txt"]


def _special(folder: Path) -> list[str]:
    """Links, a pipe, a socket, and a file that only root can read."""
    place = folder / "special"
    place.mkdir()
    _write(place / "private.md", b"# Private\n\nOnly its owner may read this.\n")
    (place / "private.md").chmod(0)
    (place / "loop").symlink_to(place)
    (place / "circle").symlink_to(place / "circle")
    (place / "out.md").symlink_to("/etc/hostname")
    (place / "dangling.md").symlink_to(place / "nowhere.md")
    (place / "inside.md").symlink_to(folder / "guide/install.md")
    os.mkfifo(place / "pipe.md")
    names = ["private.md", "loop", "circle", "out.md", "dangling.md", "inside.md", "pipe.md"]
    with contextlib.suppress(OSError):  # not every file system has them
        os.mknod(place / "socket.md", stat.S_IFSOCK | 0o600)
        names.append("socket.md")
    return [f"special/{name}" for name in names]
