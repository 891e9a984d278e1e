"""Documents to a new generation of a knowledge base: scan, decode, load, split, build.

The names below are the public face of the package, loaded on first use.
"""

from typing import TYPE_CHECKING

from kb.lazy import lazy_names

if TYPE_CHECKING:
    from ingest.build import reindex
    from ingest.jobs import reindex_job
    from ingest.report import Report
    from ingest.sources import GUIDE, add_source, add_source_from_page, ensure_guide

__all__ = ["GUIDE", "Report", "add_source", "add_source_from_page", "ensure_guide", "reindex", "reindex_job"]

__getattr__ = lazy_names(
    {
        "ingest.build": "reindex",
        "ingest.jobs": "reindex_job",
        "ingest.report": "Report",
        "ingest.sources": "GUIDE add_source add_source_from_page ensure_guide",
    }
)
