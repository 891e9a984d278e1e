"""Bytes to text, strictly: the exact text, or a sentence that says why not. Nothing is ignored or replaced."""

import codecs
import re
from typing import Literal

from kb.errors import SourceError

_BOMS = (  # longest first: the UTF-32 mark begins with the UTF-16 one
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")

# The commonest characters of each language: in running text they are 40 % and more of what is not ASCII, while text of
# another encoding read as this one consists of rare characters. Kana and the letters of western Europe are whole sets.
_CHINESE = (  # the same in both scripts, then simplified only, then traditional only
    "的一是不了在人有我他中大上和你地出道也年得就那要下以生自去之家可里后小天而能好都然日于起成事只作想看手十用主行方又如前所本面公同三已"
    "老但身些高意把法此理美月明其全工己情部正名定女力等最新什打便位因重被走四第次政海口使教西再平世信北少由代先入山五太水文件直安求下型"
    "式路集通度任至建南目物或球色台合量特推果提接列表性指例利改示香字制立包基程命科流令服司始非形根段直形比具系格常反元每次首展原回解"
)
_SIMPLIFIED = _CHINESE + (
    "这来国个到说们为子时着过学对她么心多没还发当无开头经从动两长知样现分将外与进实点种声话儿者向问机给几很业间电门相东真听气关并内加化却"
    "军产万市员数据模参支持装需请述应该载训练测配类输置码线评务区设亚称港尔场赛语结题队号单难联转显节传构获总战观击确达统运处约则选调"
)
_TRADITIONAL = _CHINESE + (
    "這來國個到說們為子時著過學對她麼心多沒還發當無開頭經從動兩長知樣現分將外與進實點種聲話兒者向問機給幾很業間電門相東真聽氣關並內加化卻"
    "軍產萬市員數據模參支持裝需請述應該載訓練測配類輸置碼線評務區設亞稱港爾場賽語結題隊號單難聯轉顯節傳構獲總戰觀擊確達統運處約則選調檔案臺灣"
)
_KANA = "".join(map(chr, [*range(0x3041, 0x3097), *range(0x30A1, 0x30FD)]))
_JAPANESE = _KANA + "日一人年大国本中出時行分見月会上生事者自社前間手地方新場部業的同定発合対長体用通度力入学東内全高理実使"
_HANGUL = (
    "이다는의에가을하고지도로한사은기를어대나서인자그있해리시라아들것일정부수보게스전과제주여니만으상적동장오원무안요구용우면었러국선교소"
    "성유조공마비화생경세신연미학여람때했습까년문되방중말조치분명계와행개저식실모난할된터내간당집회진관며않번같야더위데합없거심트발현파"
)
_WESTERN = "àâäáãåæçéèêëíìîïñóòôöõøœúùûüÿßÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜŸ“”„‘’‚–—…•«»‹›¿¡€£¥§©®™°±²³µ·×ºª½¼¾\xa0"
_CJK_MARKS = "，。、；：？！“”‘’（）《》〈〉「」『』【】—…·～　－│─┌┐└┘├┤┬┴┼█"

# Strictest first among the codecs of one language: the vendor's superset is tried where the standard does not decode.
_LEGACY = (
    ("gb18030", frozenset(_SIMPLIFIED + _TRADITIONAL + _CJK_MARKS)),
    ("big5", frozenset(_TRADITIONAL + _CJK_MARKS)),
    ("cp950", frozenset(_TRADITIONAL + _CJK_MARKS)),
    ("shift_jis", frozenset(_JAPANESE + _CJK_MARKS)),
    ("cp932", frozenset(_JAPANESE + _CJK_MARKS)),
    ("euc_jp", frozenset(_JAPANESE + _CJK_MARKS)),
    ("euc_kr", frozenset(_HANGUL + _CJK_MARKS)),
    ("cp949", frozenset(_HANGUL + _CJK_MARKS)),
    ("cp1252", frozenset(_WESTERN)),
)
# Least share of common characters. Measured on passages of 50 characters: right readings have .36 and more, wrong ones
# .10 in the middle; Latin letters are few, so wrong readings as cp1252 have more.
_PLAUSIBLE = 0.25
_PLAUSIBLE_WESTERN = 0.75
_SAMPLE = 32 * 1024  # bytes that are judged, from the first line with a byte above 127

_COMMON = frozenset(map(chr, range(0x20, 0x600))).union("\t\n\r", *(common for _, common in _LEGACY))

_HIGH = re.compile(rb"[\x80-\xff]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_NOT_WESTERN = re.compile(r"(?<![A-Za-z])[^\x00-\x7f]{2,}(?![A-Za-z])|[^\x00-\x7f]{3,}")  # accents lean on a letter
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffe\uffff]")  # tab, line and page ends, escape are text


class Undecodable(SourceError):
    """The bytes are no text in any known encoding. `reason` is a code of kb.records.WHY_SKIPPED."""

    def __init__(self, sentence: str, reason: Literal["binary", "encoding"] = "encoding") -> None:
        super().__init__(sentence)
        self.reason = reason


def decode(data: bytes) -> tuple[str, str]:
    r"""The text of `data` and the name of its encoding. Line ends become \n; the text never holds a NUL.

    Raises:
        Undecodable: binary content, or no encoding that gives plausible text.
    """
    text, encoding = _read(data)
    control = _CONTROL.search(text)
    if control:
        raise Undecodable(f"control character U+{ord(control[0]):04X} at character {control.start()}", "binary")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text, encoding


def quoted(message: object) -> str:
    """What a library or a damaged file says, fit to stand in a sentence: one line of at most 200 characters, all visible."""
    line = " ".join(str(message).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)[:200]


def _read(data: bytes) -> tuple[str, str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding), encoding
            except UnicodeDecodeError as error:
                raise Undecodable(f"marked as {encoding}, but byte {error.start + len(mark)} does not fit") from error
    if b"\0" in data:
        return _wide(data)
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        return _legacy(data, error.start)


def _wide(data: bytes) -> tuple[str, str]:
    """UTF-16 or UTF-32 without a mark: read with the wrong width or byte order it holds NULs or rare characters."""
    best, encoding = max((_plausible(data[:_SAMPLE], encoding, _COMMON, ascii_counts=True), encoding) for encoding in _WIDE)
    try:
        text = data.decode(encoding) if best > 2 * _PLAUSIBLE else "\0"
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Undecodable(f"a NUL at byte {data.index(0)}", "binary")
    return text, encoding


def _legacy(data: bytes, bad: int) -> tuple[str, str]:
    """The encodings from before Unicode, most plausible first. `bad` is the byte at which it is no UTF-8."""
    high = _HIGH.search(data)
    start = data.rfind(b"\n", 0, high.start() if high else 0) + 1  # a line end is never part of a character here
    sample = data[start : start + _SAMPLE]
    ranked = sorted(((_plausible(sample, encoding, common), encoding) for encoding, common in _LEGACY), reverse=True)
    for share, encoding in ranked:
        if share < (_PLAUSIBLE_WESTERN if encoding == "cp1252" else _PLAUSIBLE):
            continue
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise Undecodable(f"byte {bad} is no UTF-8, and no older encoding gives plausible text")


def _plausible(sample: bytes, encoding: str, common: frozenset[str], ascii_counts: bool = False) -> float:
    """The share of `common` among the characters of the sample that are not ASCII; 0 where it cannot be decoded."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)  # a character cut by the sample's end is no error
    except UnicodeDecodeError:
        return 0.0
    if "\0" in text or _CONTROL.search(text):
        return 0.0
    runs = [text] if ascii_counts else _NOT_ASCII.findall(text)
    total = sum(map(len, runs))
    if encoding == "cp1252":
        total += sum(map(len, _NOT_WESTERN.findall(text)))
    return sum(character in common for run in runs for character in run) / total if total else 0.0
