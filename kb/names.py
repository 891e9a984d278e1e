"""Names that users give to what becomes a file or a folder: knowledge bases, models, tunes, question sets."""


def bad_name(name: str, what: str, most_bytes: int) -> str:
    """Why `name` cannot name a file or a folder of ours, `what` it is to be; empty if it can."""
    bad = not name or len(name.encode()) > most_bytes or name != name.strip() or name.startswith(".")
    if bad or any(char in '/\\:*?"<>|' or not char.isprintable() for char in name):
        return f"{name!r} cannot name {what}: use letters (of any script), digits, spaces, '.', '_' or '-', not '.' first."
    return ""
