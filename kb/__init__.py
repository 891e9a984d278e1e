"""Everything a question needs: settings, the index, retrieval, models, the answer.

The names below are the public face of the package, loaded on first use, so that `python -m kb --help` does not wait
for torch. `kb.records`, `kb.jobs`, `kb.serving` and `kb.tools` are public as modules.
"""

import os
from typing import TYPE_CHECKING

from kb.lazy import lazy_names

# No library of ours phones home. Each reads its variable when it is imported, so this stands before all of them.
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("LANGSMITH_TRACING", "false")
os.environ.setdefault("SCARF_NO_ANALYTICS", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("UNSTRUCTURED_DISABLE_NOTICE", "1")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kb.answer import ask, talk
    from kb.base import KnowledgeBase
    from kb.catalog import DocumentInfo
    from kb.errors import BaseError, KBError, ModelError, SettingsError, SourceError, TuneError
    from kb.index import Generation
    from kb.jobs import Job, Progress
    from kb.manifest import Manifest
    from kb.model_card import Card, Endpoint
    from kb.model_jobs import add_model_job, download_model_job
    from kb.models import add_endpoint, add_model, check_model, get_model, list_models, model_folder, register, remove_model
    from kb.settings import Settings, load_settings
    from kb.state import Conversation, Feedback, Message, State

__all__ = [
    "BaseError",
    "Card",
    "Conversation",
    "DocumentInfo",
    "Endpoint",
    "Feedback",
    "Generation",
    "Job",
    "KBError",
    "KnowledgeBase",
    "Manifest",
    "Message",
    "ModelError",
    "Progress",
    "Settings",
    "SettingsError",
    "SourceError",
    "State",
    "TuneError",
    "add_endpoint",
    "add_model",
    "add_model_job",
    "ask",
    "check_model",
    "download_model_job",
    "get_model",
    "list_models",
    "load_settings",
    "model_folder",
    "register",
    "remove_model",
    "talk",
]

__getattr__ = lazy_names(
    {
        "kb.answer": "ask talk",
        "kb.base": "KnowledgeBase",
        "kb.catalog": "DocumentInfo",
        "kb.errors": "BaseError KBError ModelError SettingsError SourceError TuneError",
        "kb.index": "Generation",
        "kb.jobs": "Job Progress",
        "kb.manifest": "Manifest",
        "kb.model_card": "Card Endpoint",
        "kb.model_jobs": "add_model_job download_model_job",
        "kb.models": "add_endpoint add_model check_model get_model list_models model_folder register remove_model",
        "kb.settings": "Settings load_settings",
        "kb.state": "Conversation Feedback Message State",
    }
)
