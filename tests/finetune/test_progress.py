"""What the tool writes while it trains, as it was seen to write it."""

from pathlib import Path

import pytest

from finetune.progress import Point, Sample, answer_of, iteration_of, read_points, read_samples, why_failed
from finetune.recipe import Recipe
from finetune.templates import template

SCALARS = """\
{"lr": 0.0019942179068939522, "data_time": 0.009017634391784667, "grad_norm": 4.779242706298828, "loss": 14.40162992477417, "time": 0.15380253791809081, "iter": 10, "step": 10}
{"lr": 0.0019483615800121711, "data_time": 0.005813741683959961, "grad_norm": 2.9914793968200684, "loss": 2.1407259829342364, "time": 0.1252965211868286, "iter": 20, "step": 20}
{"lr": 0.0018587639582758023, "data_time": 0.007511782646179199, "grad_norm": NaN, "loss": 0.020181610784493386, "time": 0.12619848251342775, "iter": 30, "step": 30}
{"lr": 0.0017295
"""  # noqa: E501 - as it stands there
RESUMED = '{"lr": 0.001, "data_time": 0.1, "loss": 0.5, "time": 0.1, "iter": 30, "step": 30}\n'
OUTPUTS = """Eval output 1:
<|im_start|>user
请介绍一下你自己<|im_end|>
<|im_start|>assistant
我是Link Chen的小助手<|im_end|>


Eval output 2:
<s> <|im_start|> user
 请做一下自我介绍<|im_end|>
 <|im_start|> assistant
 Line one

     line two <|im_end|> </s>


"""
LOG = """\
11/24 19:28:19 - mmengine - INFO - Iter(train) [ 10/120]  lr: 1.9908e-03  eta: 0:00:05  time: 0.0456  loss: 14.5162
11/24 19:28:20 - mmengine - INFO - Iter(train) [ 20/120]  lr: 1.9186e-03  eta: 0:00:04  time: 0.0426  loss: 1.9488
"""
RAISED = """Traceback (most recent call last):
  File "train.py", line 392, in <module>
    main()
{}
"""
CHAT = template("internlm2")
assert CHAT is not None


@pytest.fixture
def work(tmp_path: Path) -> Path:
    first, second = tmp_path / "20261124_191609" / "vis_data", tmp_path / "20261124_192000" / "vis_data"
    for folder in (first, second, tmp_path / "20261124_191000", tmp_path / "cache"):
        folder.mkdir(parents=True)
    (first / "scalars.json").write_text(SCALARS)
    (first / "eval_outputs_iter_0.txt").write_text(OUTPUTS, "utf-8")
    (first / "eval_outputs_iter_89.txt").write_text(OUTPUTS, "utf-8")
    return tmp_path


def test_the_curves_of_a_run(work: Path) -> None:
    points = read_points(work)
    assert [point.iteration for point in points] == [10, 20, 30]
    assert points[0] == Point(10, 14.40162992477417, 0.0019942179068939522, 4.779242706298828)
    assert (points[2].grad_norm, points[2].nan) == (None, True)


def test_a_resume_replaces_what_it_trained_again(work: Path) -> None:
    (work / "20261124_192000" / "vis_data" / "scalars.json").write_text(RESUMED)
    assert [(point.iteration, point.loss, point.nan) for point in read_points(work)][1:] == [
        (20, 2.1407259829342364, False), (30, 0.5, False)
    ]  # fmt: skip


def test_what_the_model_says_on_the_way(work: Path) -> None:
    assert CHAT is not None
    found = read_samples(work, Recipe("tiny"), CHAT, 100)
    prompts = ("请介绍一下你自己", "请做一下自我介绍")
    answers = ("我是Link Chen的小助手", "Line one\n\n     line two")
    assert found == [Sample(at, *row) for at in (0, 90) for row in zip(prompts, answers, strict=True)]


def test_an_answer_that_repeats_the_question_is_kept() -> None:
    assert CHAT is not None
    assert (
        answer_of("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhi, you said hi<|im_end|>", "hi", CHAT)
        == "hi, you said hi"
    )


def test_where_it_stands_by_its_log() -> None:
    assert iteration_of(LOG) == (20, 120)
    assert iteration_of("nothing yet") is None


@pytest.mark.parametrize(
    ("code", "last", "sentence"),
    [
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "ran out of memory: lower the batch size"),
        (1, "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to", "ran out of memory"),
        (137, "", "was killed, most likely because memory ran out"),
        (1, "ValueError: the config is\twrong", "The training failed: ValueError: the config is wrong."),
        (1, "mmengine.config.utils.ConfigParsingError: no such import", "ConfigParsingError: no such import."),
        (2, "", "failed with exit code 2."),
    ],
)
def test_a_failure_is_one_sentence_with_its_log(tmp_path: Path, code: int, last: str, sentence: str) -> None:
    log = tmp_path / "log.txt"
    log.write_text(LOG + (RAISED.format(last) if last else ""))
    said = why_failed(code, log, Recipe("tiny"))
    assert sentence in said
    assert said.endswith(f"Its log: {log}.")
