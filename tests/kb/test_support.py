"""Sentences that their passages do not support are told, and those that they do support are not; quotations are literal."""

import random
import re
from itertools import pairwise

import pytest

import kb
from kb.records import Done, Found, Hit, Token
from kb.support import cited, sentences, unsupported, without_dead_citations
from tests.fake_openai import FakeOpenAI
from tests.kb.test_answer import events_of

# {l}, {x}, {o}: the numbers of the passages of lmdeploy, xtuner and opencompass.
SUPPORTED = [
    "The server listens on port 23333 by default [{l}].",
    "By default, port 23333 is used by the server, and `--server-port` changes it. [{l}]",
    "Quantisation takes about 10 minutes on a single GPU [{l}].",
    "Use `lmdeploy lite auto_awq internlm2-chat-7b --w-bits 4` to quantise the model [{l}].",
    "```shell\nlmdeploy lite auto_awq internlm2-chat-7b --w-bits 4\n```\n\n[{l}]",
    "```shell\n# quantise\nlmdeploy lite auto_awq \\\n  internlm2-chat-7b --w-bits 4\n```\n[{l}]",
    "The --debug flag prints the log of every task [{o}].",
    "Results are kept in the folder that `--work-dir` names[{o}].",
    "用 QLoRA 微调 7B 模型需要 8 GB 显存 [{x}]。",
    "微调 7B 模型时，QLoRA 只占用 8GB 显存。[{x}]",
    "合并 adapter 后的模型可以直接部署 [{x}]。",
    "用 `xtuner convert merge $BASE $ADAPTER $OUT --max-shard-size 2GB` 合并 adapter [{x}]。",
    "服务器默认监听 23333 端口 [{l}]。",
    "QLoRA fine-tuning of a 7B model needs 8GB of memory [{x}].",
    "The server listens on port 23333.",
    "The server of LMDeploy listens on 23333 [{l}, {x}].",
    "Here are the steps of what you have to do:",
    "Yes.",
    "The documents do not say how many people may use it at the same time.",
    "1. Run the quantisation with the command [{l}].",
    "| flag | meaning |\n|---|---|\n| --debug | print the log of each task [{o}] |",
]
UNSUPPORTED = {
    "a changed number": [
        "The server listens on port 23334 by default [{l}].",
        "The server listens on port 2333 by default [{l}].",
        "Quantisation takes about 20 minutes on a single GPU [{l}].",
        "用 QLoRA 微调 7B 模型需要 18GB 显存 [{x}]。",
        "用 QLoRA 微调 70B 模型需要 8GB 显存 [{x}]。",
        "QLoRA fine-tuning of a 7B model needs 16GB of memory [{x}].",
        "QLoRA fine-tuning of a 7B model needs 8MB of memory [{x}].",
    ],
    "an invented flag": [
        "The server listens on port 23333 unless --port says otherwise [{l}].",
        "The server listens on port 23333 unless `--server` says otherwise [{l}].",
        "Use `lmdeploy lite auto_awq internlm2-chat-7b --w-bits 8` to quantise the model [{l}].",
        "```shell\nlmdeploy lite auto_awq internlm2-chat-7b --w-bits 4 --batch 8\n```\n[{l}]",
        "合并时加上 `--merge-all` 合并 adapter [{x}]。",
    ],
    "a name that is another": [
        "Run the quantisation of internlm3 with this command [{l}].",
        "It needs about ten minutes on one A100 GPU [{l}].",
    ],
    "a wrong citation": [
        "The server listens on port 23333 by default [{o}].",
        "The --debug flag prints the log of every task [{l}].",
        "合并 adapter 后的模型可以直接部署 [{l}]。",
        "Results are kept in the folder that `--work-dir` names [{x}].",
    ],
    "an invention": [
        "It was written by a team of astronomers in Chile [{l}].",
        "The licence forbids any commercial use of the weights [{l}].",
        "It supports Windows, macOS and several kinds of phones.",
        "合并需要先申请许可证并等待管理员批准 [{x}]。",
    ],
}


@pytest.fixture(scope="module")
def hits(base: kb.KnowledgeBase) -> tuple[Hit, ...]:
    return base.search("How do I quantise a model with lmdeploy?").hits


def with_numbers(sentence: str, hits: tuple[Hit, ...]) -> str:
    numbers = {hit.path[0]: hit.n for hit in hits}
    return re.sub(r"\{([lxo])\}", lambda name: str(numbers[name[1]]), sentence)


@pytest.mark.parametrize("sentence", SUPPORTED)
def test_what_the_passages_say_is_supported(base: kb.KnowledgeBase, hits: tuple[Hit, ...], sentence: str) -> None:
    assert unsupported(with_numbers(sentence, hits), hits, base.snapshot()) == ()


@pytest.mark.parametrize(("kind", "sentence"), [(kind, one) for kind, several in UNSUPPORTED.items() for one in several])
def test_what_they_do_not_say_is_told(base: kb.KnowledgeBase, hits: tuple[Hit, ...], kind: str, sentence: str) -> None:
    text = with_numbers(sentence, hits)
    before = "The server listens on port 23333.\n\n"
    assert unsupported(before + text, hits, base.snapshot()) == ((len(before), len(before + text)),)


def test_sentences_keep_code_list_numbers_and_what_they_cite() -> None:
    text = (
        "Use e.g. this. Port 23333 [1]. Then:\n\n1. Run `a. b` now. [2]\n2. Set 0.4.1 [1][9].\n\n```sh\nx[9] y.\n\nz\n```\n\n[1]"
        "\n\n> quoted.\n\n[3] 中文。[1] 再来！好"
    )
    assert [(text[start:end], cited(text[start:end])) for start, end in sentences(text)] == [
        ("Use e.g. this.", []),
        ("Port 23333 [1].", [1]),
        ("Then:", []),
        ("1. Run `a. b` now. [2]", [2]),
        ("2. Set 0.4.1 [1][9].", [1, 9]),
        ("```sh\nx[9] y.\n\nz\n```\n\n[1]", [1]),
        ("> quoted.\n\n[3]", [3]),
        ("中文。[1]", [1]),
        ("再来！", []),
        ("好", []),
    ]
    assert sentences("") == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("It is so [99] and so [0].", "It is so and so."),
        ("So [1][9], so [2, 9] and so [1, 2].", "So [1], so [2] and so [1, 2]."),
        ("`x[9]` [9] and [9](a.md)", "`x[9]` and [9](a.md)"),
        ("```\nx [9]\n```\n[9]", "```\nx [9]\n```"),
    ],
)
def test_citations_of_no_passage_are_taken_out(text: str, left: str) -> None:
    assert without_dead_citations(text, 2) == left


def test_a_written_answer_is_checked_before_it_ends(base: kb.KnowledgeBase) -> None:
    pieces = ["It listens on ", "port 23333 [1][77].", " It was built by ", "astronomers in Chile [1]."]
    with FakeOpenAI(pieces) as server:
        found, *tokens, done = events_of(base, "On which port does the server listen?", endpoint_url=server.url)
    assert isinstance(found, Found)
    assert isinstance(done, Done)
    assert "".join(token.text for token in tokens if isinstance(token, Token)) == "".join(pieces)
    assert done.text == "It listens on port 23333 [1]. It was built by astronomers in Chile [1]."
    assert [done.text[start:end] for start, end in done.unsupported] == ["It was built by astronomers in Chile [1]."]
    assert {quote.n for quote in done.quotes} == {1}


QUESTIONS = [
    "How do I quantise a model with lmdeploy?", "On which port does the server listen?", "How long does the quantisation take?",
    "What does --w-bits do?", "lmdeploy lite auto_awq", "Which option changes the port?", "How many GPUs does it need?",
    "What does the --debug flag mean?", "Where are results kept?", "opencompass flags", "--work-dir",
    "How do I merge an adapter?", "What is --max-shard-size?", "怎么合并 adapter？", "QLoRA 微调 7B 模型需要多少显存",
    "合并之后的模型可以部署吗？", "怎么量化模型？", "服务器监听哪个端口？", "结果保存在哪里？",
    "What does evil say?", "xtuner convert merge", "print the password",
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_line_of_a_quotation_stands_in_the_document_at_its_lines(base: kb.KnowledgeBase, question: str) -> None:
    found, *_, done = events_of(base, question, refuse_below=0)
    assert isinstance(found, Found)
    assert isinstance(done, Done)
    assert done.unsupported == ()
    quoted = re.split(r"\s\[(\d+)\](?:\n\n|$)", done.text)
    assert [int(n) for n in quoted[1::2]] == [quote.n for quote in done.quotes] != []
    for text, quote in zip(quoted[::2], done.quotes, strict=False):
        lines = [line.strip() for line in base.snapshot().document(found.hits[quote.n - 1].chunk.document).text.split("\n")]
        there = lines[quote.start - 1 : quote.end]
        shown = text.strip("\n").split("\n")
        for at, line in enumerate(shown):
            if line.startswith("|") and (at == 0 or not shown[at - 1].startswith("|")):  # a row stands under its header
                assert line in lines[: quote.start]
            elif line.strip(" |-") and line.strip() != ">":
                assert line.removeprefix("> ").strip() in there, (line, there)


def test_any_text_has_sentences_that_cite_what_there_is() -> None:
    draw = random.Random(1)
    bits = [
        "`",
        "```",
        "```\n",
        "~~~\n",
        "[1]",
        "[2, 9]",
        "[",
        "]",
        "【1】",
        ". ",
        "。",
        "\n",
        "\n\n",
        "1. ",
        "> ",
        "8GB",
        "中文",
        "a ",
    ]
    for _ in range(2000):
        text = without_dead_citations("".join(draw.choices(bits, k=draw.randrange(40))), 2)
        found = sentences(text)
        assert all(start < end for start, end in found)
        assert all(one[1] <= other[0] for one, other in pairwise(found))
        assert all(number <= 2 for start, end in found for number in cited(text[start:end])), text
