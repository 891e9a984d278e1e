"""Documents to a new generation of a knowledge base: scan, decode, load, split, build.

The names below are the public face of the package, loaded on first use.
"""

from typing import TYPE_CHECKING

from kb.lazy import lazy_names

if TYPE_CHECKING:
    from ingest.build import go_back, reindex
    from ingest.jobs import reindex_job
    from ingest.report import Report
    from ingest.sources import (
        GUIDE,
        add_git_source,
        add_source,
        add_source_from_page,
        ensure_guide,
        pause_source,
        remove_source,
    )
    from ingest.uploads import add_upload, remove_upload

__all__ = [
    "GUIDE",
    "Report",
    "add_git_source",
    "add_source",
    "add_source_from_page",
    "add_upload",
    "ensure_guide",
    "go_back",
    "pause_source",
    "reindex",
    "reindex_job",
    "remove_source",
    "remove_upload",
]

__getattr__ = lazy_names(
    {
        "ingest.build": "go_back reindex",
        "ingest.jobs": "reindex_job",
        "ingest.report": "Report",
        "ingest.sources": "GUIDE add_git_source add_source add_source_from_page ensure_guide pause_source remove_source",
        "ingest.uploads": "add_upload remove_upload",
    }
)
