"""What a generation has learned about its own documents, kept beside its index: a glossary of its two languages, and how
sure a find must be to be an answer (learn.py).

It is learned when an index is built from nothing and again when a tenth of it has changed; other changes carry it over, so
that a small one stays quick.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kb.confidence import BY_WORDS_ALONE, Calibration
from kb.errors import BaseError
from kb.glossary import Glossary
from kb.whole import write_json

FILE = "learned.json"
_CHANGED = 0.1  # share of the chunks after which all is learned again


@dataclass(frozen=True, slots=True)
class Learned:
    """`chunks` there were when this was learned, and how many have come or gone since (`changed`)."""

    glossary: Glossary = field(default_factory=Glossary)
    calibration: Calibration = BY_WORDS_ALONE
    chunks: int = 0
    changed: int = 0

    @property
    def due(self) -> bool:
        """Whether it should be learned again."""
        return self.changed > _CHANGED * self.chunks

    def later(self, changed: int) -> "Learned":
        """The same, after that many more chunks have come or gone."""
        return replace(self, changed=self.changed + changed)


def read_learned(folder: Path) -> Learned:
    """What the generation in `folder` has learned; an empty one that is due where it has nothing yet.

    Raises:
        BaseError: the file is damaged.
    """
    try:
        value = json.loads((folder / FILE).read_text("utf-8"))
        glossary = Glossary(**{side: _translations(value["glossary"][side]) for side in ("to_english", "to_chinese")})
        fitted = value["calibration"]
        calibration = Calibration(tuple(fitted["mean"]), tuple(fitted["spread"]), tuple(fitted["weights"]), fitted["bias"])
        return Learned(glossary, calibration, value["chunks"], value["changed"])
    except FileNotFoundError:
        return Learned(changed=1)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BaseError(f"The index {folder} is damaged ({FILE}): `python -m ingest --rebuild` builds it again.") from error


def _translations(value: Any) -> dict[str, list[tuple[str, float]]]:
    return {word: [(other, float(worth)) for other, worth in others] for word, others in value.items()}


def write_learned(folder: Path, learned: Learned) -> None:
    """Put it beside the index in `folder`, in place of what was there."""
    write_json(folder / FILE, asdict(learned), indent=None)
