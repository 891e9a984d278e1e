"""Public names of a package, imported on first use (PEP 562)."""

import importlib
from collections.abc import Callable
from typing import Any


def lazy_names(names: dict[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` for {"module": "Name other_name"}: each name is imported from its module when asked for."""
    where = {name: module for module, text in names.items() for name in text.split()}

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(name)
        return getattr(importlib.import_module(where[name]), name)

    return get
