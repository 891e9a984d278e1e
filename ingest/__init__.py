"""Documents to a new generation of a knowledge base: scan, decode, load, split, build.

The names below are the public face of the package, loaded on first use.
"""

from typing import TYPE_CHECKING

from kb.lazy import lazy_names

if TYPE_CHECKING:
    from ingest.bases import create_base, delete_base, rename_base
    from ingest.build import go_back, reindex
    from ingest.jobs import reindex_job
    from ingest.portable import export_base, import_base
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
    "create_base",
    "delete_base",
    "ensure_guide",
    "export_base",
    "go_back",
    "import_base",
    "pause_source",
    "reindex",
    "reindex_job",
    "remove_source",
    "remove_upload",
    "rename_base",
]

__getattr__ = lazy_names(
    {
        "ingest.bases": "create_base delete_base rename_base",
        "ingest.portable": "export_base import_base",
        "ingest.build": "go_back reindex",
        "ingest.jobs": "reindex_job",
        "ingest.report": "Report",
        "ingest.sources": "GUIDE add_git_source add_source add_source_from_page ensure_guide pause_source remove_source",
        "ingest.uploads": "add_upload remove_upload",
    }
)
