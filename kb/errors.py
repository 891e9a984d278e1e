"""Errors whose message is one sentence meant for the user. Anything else that escapes is a bug and shows as one."""


class KBError(Exception):
    """Say what happened, where, and what to do about it."""


class SettingsError(KBError):
    """A setting is missing, malformed or contradicts another."""


class SourceError(KBError):
    """A source, a file of it or an upload cannot be used."""


class BaseError(KBError):
    """A knowledge base is missing, damaged, busy or was made by another embedding model."""


class ModelError(KBError):
    """A model (embedding, chat, endpoint) cannot be loaded or does not answer."""


class TuneError(KBError):
    """Examples, a recipe or a training cannot be used, or a training failed."""
