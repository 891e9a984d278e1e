"""decode: the exact text, or a sentence. Never a character less, never a wrong one."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.decode import Undecodable, decode, quoted

PASSAGES = {
    "gb18030": "知识库可以回答问题，也会指出答案出自哪一份文档的哪一行。安装之前请先阅读说明，然后运行下面的命令。",
    "big5": "這個知識庫可以回答問題，也會指出答案出自哪一份文件的哪一行。如果資料庫連線失敗，請檢查設定檔案。",
    "shift_jis": "このデータベースは質問に答えます。インストールするには、次のコマンドを実行してください。東京で学びました。",
    "euc_jp": "このデータベースは質問に答えます。インストールするには、次のコマンドを実行してください。東京で学びました。",
    "euc_kr": "이 지식 베이스는 질문에 대답합니다. 설치하려면 다음 명령을 실행하십시오. 오늘은 날씨가 좋아서 공원에 갔습니다.",
    "cp1252": "L'été dernier, les élèves ont déjà reçu leurs réponses. Größe und Straße, ¿dónde está el niño? “Voilà” — 5 €.",
}


@pytest.mark.parametrize("encoding", PASSAGES)
@pytest.mark.parametrize("size", [20, 50, 1000])
def test_legacy_encodings_give_the_exact_text(encoding: str, size: int) -> None:
    passage = PASSAGES[encoding] * 20
    for start in range(0, min(len(passage), 400), size):
        part = passage[start : start + size]
        data = ("# Some ASCII before it\n\n" * 3 + part + "\n").encode(encoding)
        if data.isascii():
            continue
        assert decode(data)[0] == "# Some ASCII before it\n\n" * 3 + part + "\n"


@pytest.mark.parametrize("text", [*PASSAGES.values(), "plain ASCII\nof two lines"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_encodings_give_the_exact_text(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", ["gb18030", "big5", "euc_kr", "cp1252"])
def test_wide_text_without_a_mark(encoding: str, language: str) -> None:
    text = "# A title\n\n" + PASSAGES[language] + "\n"
    assert decode(text.encode(encoding)) == (text, encoding)


@given(st.text())
def test_any_utf8_comes_back_or_is_called_binary(text: str) -> None:
    try:
        decoded, _ = decode(text.encode())
    except Undecodable as error:
        assert error.reason == "binary"
        assert any(not character.isprintable() for character in text)
    else:
        if "\0" in text:  # some of these are UTF-16 as well
            assert "\0" not in decoded
            return
        assert decoded == text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


@given(st.binary(max_size=2000))
def test_any_bytes_give_clean_text_or_a_sentence(data: bytes) -> None:
    try:
        text, encoding = decode(data)
    except Undecodable as error:
        assert str(error)
        assert error.reason in ("binary", "encoding")
    else:
        assert "\0" not in text
        assert "\r" not in text
        assert "\ufffd" not in text or "\ufffd".encode() in data or encoding != "utf-8"
        text.encode()


def test_random_bytes_are_no_text() -> None:
    for _ in range(50):
        with pytest.raises(Undecodable):
            decode(os.urandom(2000))


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_an_alphabet_that_is_not_known_is_refused(encoding: str) -> None:
    with pytest.raises(Undecodable, match="no older encoding"):
        decode("Это документ на русском языке. Установите программу и запустите её.".encode(encoding))


def test_a_mark_that_lies_is_refused() -> None:
    with pytest.raises(Undecodable, match=r"marked as utf-8.* byte 7"):
        decode(b"\xef\xbb\xbfabcd\xff")


def test_a_late_foreign_byte_in_a_long_ascii_text() -> None:
    text = "An ASCII line like many.\n" * 20_000 + PASSAGES["gb18030"]
    assert decode(text.encode("gb18030")) == (text, "gb18030")


def test_line_ends() -> None:
    assert decode(b"a\r\nb\rc\n\r\n")[0] == "a\nb\nc\n\n"


def test_what_is_quoted_is_one_short_visible_line() -> None:
    assert quoted(" a\n b\ud800\x1b[2J\u202e") == "a b\\ud800\\x1b[2J\\u202e"
    assert len(quoted("\x9d" * 1000)) == 200
