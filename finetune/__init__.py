"""Teach a model: examples → a recipe → XTuner → a merged model folder.

The names below are the public face of the package, loaded on first use.
"""

from typing import TYPE_CHECKING

from kb.lazy import lazy_names

if TYPE_CHECKING:
    from finetune.comparison import Pair, compare, pairs
    from finetune.dataset import Example, ExampleSet, Message, Problem, pair, read_examples
    from finetune.jobs import compare_job, merge_job, train_job
    from finetune.lengths import Lengths
    from finetune.memory import Estimate, Part, estimate
    from finetune.planning import Plan, plan
    from finetune.progress import Point, Sample, curves, samples
    from finetune.recipe import Recipe, Schedule
    from finetune.remark import Remark
    from finetune.sources import from_base, from_feedback, introduction
    from finetune.steps import merge, train
    from finetune.tunes import (
        Checkpoint,
        Tune,
        add_examples,
        change_example,
        delete_example,
        get_tune,
        list_tunes,
        new_tune,
        read_tune_examples,
        remove_tune,
        save_examples,
        save_recipe,
        start_over,
    )

_NAMES = {
    "finetune.comparison": "Pair compare pairs",
    "finetune.dataset": "Example ExampleSet Message Problem pair read_examples",
    "finetune.memory": "Estimate Part estimate",
    "finetune.jobs": "compare_job merge_job train_job",
    "finetune.lengths": "Lengths",
    "finetune.planning": "Plan plan",
    "finetune.progress": "Point Sample curves samples",
    "finetune.recipe": "Recipe Schedule",
    "finetune.remark": "Remark",
    "finetune.steps": "merge train",
    "finetune.sources": "from_base from_feedback introduction",
    "finetune.tunes": "Checkpoint Tune add_examples change_example delete_example get_tune list_tunes new_tune "
    "read_tune_examples remove_tune save_examples save_recipe start_over",
}

__all__ = [
    "Checkpoint",
    "Estimate",
    "Example",
    "ExampleSet",
    "Lengths",
    "Message",
    "Pair",
    "Part",
    "Plan",
    "Point",
    "Problem",
    "Recipe",
    "Remark",
    "Sample",
    "Schedule",
    "Tune",
    "add_examples",
    "change_example",
    "compare",
    "compare_job",
    "curves",
    "delete_example",
    "estimate",
    "from_base",
    "from_feedback",
    "get_tune",
    "introduction",
    "list_tunes",
    "merge",
    "merge_job",
    "new_tune",
    "pair",
    "pairs",
    "plan",
    "read_examples",
    "read_tune_examples",
    "remove_tune",
    "samples",
    "save_examples",
    "save_recipe",
    "start_over",
    "train",
    "train_job",
]

__getattr__ = lazy_names(_NAMES)
