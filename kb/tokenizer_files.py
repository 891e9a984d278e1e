"""A SentencePiece tokenizer as tokenizer.json, which transformers 4 and 5 read alike and without remote code.

It is held against SentencePiece itself before it is kept: a tokenizer that is nearly right makes a model that is nearly right.
"""

import shutil
from pathlib import Path
from typing import Any

from kb.errors import ModelError
from kb.model_config import settled_tokenizer
from kb.model_files import NO_TOKENIZER, read_json, write_json

_SAMPLES = (
    "Hello, world!", "  two  spaces", "你好，世界。", "我是书生·浦语的小助手", "line\n\n\tnext\r\n",
    "3.14159 + 2,718 = ?", "a", " a ", "def f(x):\n    return x ** 2  # π", "ﬁ① ½ Ａ naïve café 😀",
    "上海人工智能实验室 Shanghai AI Laboratory 2024", "\u3000전각 русский",
)  # fmt: skip


def write_fast_tokenizer(source: Path, target: Path) -> None:
    """Put the tokenizer of an InternLM model into `target` as tokenizer.json with what belongs to it.

    Raises:
        ModelError: there is none, or it cannot be written so that it gives the same tokens.
    """
    config = read_json(source / "tokenizer_config.json")
    if (source / "tokenizer.json").is_file():
        shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    elif (source / "tokenizer.model").is_file():
        _convert(source / "tokenizer.model", config, target / "tokenizer.json")
        # All of it is in tokenizer.json now, and transformers 5 would put its own idea of it in its place.
        for name in ("added_tokens_decoder", "add_bos_token", "add_eos_token", "sp_model_kwargs", "legacy"):
            config.pop(name, None)
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    else:
        raise ModelError(f"{source} {NO_TOKENIZER}")
    special = read_json(source / "special_tokens_map.json")
    for name, token in (("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "</s>")):
        config.setdefault(name, special.get(name, token))
    config.setdefault("clean_up_tokenization_spaces", False)
    config["auto_map"] = {}  # its class is remote code, whether it is named or not
    write_json(target / "tokenizer_config.json", settled_tokenizer(config, fast=True))
    if special:
        write_json(target / "special_tokens_map.json", special)


def _convert(model: Path, config: dict[str, Any], target: Path) -> None:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    try:
        sp = SentencePieceProcessor(model_file=str(model))
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{model} is no SentencePiece model ({error}): fetch it again.") from error
    pieces: list[str] = [sp.id_to_piece(n) for n in range(len(sp))]
    added = {int(n): row for n, row in (config.get("added_tokens_decoder") or {}).items()}
    for n, row in added.items():  # they stand in for pieces that were left unused
        if n < len(pieces):
            pieces[n] = row["content"]
    ids = {piece: n for n, piece in enumerate(pieces)}
    special = [n for n in range(len(sp)) if sp.is_control(n) or sp.is_unknown(n)]
    whole = [n for n in range(len(sp)) if n not in added and _never_cut(sp, n)]
    apart = {*added, *special, *whole, *(n for n in range(len(sp)) if sp.is_byte(n) or sp.is_unused(n))}
    prefix = sp.encode("a", out_type=str)[0].startswith("▁")
    unknown = pieces[sp.unk_id()]
    tokenizer = Tokenizer(
        models.BPE(vocab=ids, merges=_merges(sp, ids, apart), unk_token=unknown, fuse_unk=True,
                   byte_fallback=any(sp.is_byte(n) for n in range(len(sp))))
    )  # fmt: skip
    spaces = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix and not whole else spaces
    samples = list(_SAMPLES)
    if prefix and whole:
        # A normalizer would put a space after each piece that is never cut, as in <eoh>, which ends a turn. This puts it at the
        # beginning alone, but not where there is one already: such a text gets one space less than SentencePiece gives it.
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
        samples = [f"a{pieces[n]}\nb {pieces[n]}c" for n in whole[-3:]] + [text for text in samples if text[0] != " "]
    decoding = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(decoding + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    tokens = {n: AddedToken(pieces[n], normalized=False, special=True) for n in special}
    tokens |= {n: AddedToken(pieces[n], normalized=False, special=False) for n in whole}
    flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
    for n, row in added.items():
        tokens[n] = AddedToken(row["content"], **{flag: bool(row[flag]) for flag in flags if flag in row})
    tokenizer.add_tokens([tokens[n] for n in sorted(tokens)])
    if wrong := [n for n in sorted(tokens) if tokenizer.token_to_id(str(tokens[n].content)) != n]:
        raise ModelError(f"{model}: token {wrong[0]} ({tokens[wrong[0]].content!r}) would get another number.")
    for text in samples:
        if tokenizer.encode(text, add_special_tokens=False).ids != sp.encode(text):
            raise ModelError(f"{model} cuts {text!r} as tokenizer.json cannot: take a model that has a tokenizer.json.")
    if config.get("add_bos_token", True):
        first = pieces[sp.bos_id()]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A {first}:1 $B:1", special_tokens=[(first, sp.bos_id())]
        )
    tokenizer.save(str(target))


def _never_cut(sp: Any, n: int) -> bool:
    """Whether a piece was defined by hand, so that it is found in any text before the rest is cut."""
    piece = sp.id_to_piece(n)
    if len(piece) < 2 or sp.is_control(n) or sp.is_unknown(n) or sp.is_byte(n) or sp.is_unused(n) or "▁" in piece:
        return False
    return n in sp.encode(f"a{piece}a") and sp.encode(f"a{piece}a")[-2:-1] == [n] and not _reachable(sp, piece)


def _reachable(sp: Any, piece: str) -> bool:
    return any(_known(sp, piece[:at]) and _known(sp, piece[at:]) for at in range(1, len(piece)))


def _known(sp: Any, piece: str) -> bool:
    return bool(sp.piece_to_id(piece) != sp.unk_id())


def _merges(sp: Any, ids: dict[str, int], apart: set[int]) -> list[tuple[str, str]]:
    """Pairs in the order of the scores that their whole has; SentencePiece joins by these."""
    found = []
    for piece, n in ids.items():
        if n in apart:
            continue
        for at in range(1, len(piece)):
            left, right = ids.get(piece[:at]), ids.get(piece[at:])
            if left is not None and right is not None and left not in apart and right not in apart:
                found.append((-sp.get_score(n), n, left, right))
    found.sort()
    names = {n: piece for piece, n in ids.items()}
    return [(names[left], names[right]) for _, _, left, right in found]
