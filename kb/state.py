"""data_base/state.db: which generation of each knowledge base is live, which model answers, and the conversations.

SQLite, one short-lived connection a call: safe for threads and for several processes. Not in WAL mode, which has to write
before it can read: what is indexed can be asked on a full disk too. Migrations are numbered and only ever appended.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass

from kb.errors import BaseError, ModelError
from kb.records import Chunk, Hit, Quote
from kb.settings import Settings

_MIGRATIONS = (
    "CREATE TABLE live (kb TEXT PRIMARY KEY, generation INTEGER NOT NULL)",
    "CREATE TABLE conversations (id TEXT PRIMARY KEY, owner TEXT NOT NULL, kb TEXT NOT NULL, title TEXT NOT NULL, "
    "updated REAL NOT NULL)",
    "CREATE TABLE messages (conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE, "
    "ordinal INTEGER NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL, found TEXT NOT NULL, "
    "PRIMARY KEY (conversation, ordinal))",
    "ALTER TABLE live ADD COLUMN before INTEGER",  # the generation to go back to
    "CREATE TABLE model (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, version INTEGER NOT NULL, "
    "problem TEXT NOT NULL)",
    "CREATE TABLE feedback (conversation TEXT NOT NULL, ordinal INTEGER NOT NULL, vote INTEGER NOT NULL, note TEXT NOT NULL, "
    "created REAL NOT NULL, PRIMARY KEY (conversation, ordinal), "
    "FOREIGN KEY (conversation, ordinal) REFERENCES messages (conversation, ordinal) ON DELETE CASCADE)",
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A stored conversation; `updated` in epoch seconds."""

    id: str
    title: str
    kb: str
    updated: float


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message; the rest says what an answer rests on and is empty for questions.

    `model` wrote it, or nobody where it is made of quotations; `plain`: from what the model knows, without the knowledge base.
    """

    role: str
    content: str
    hits: tuple[Hit, ...] = ()
    quotes: tuple[Quote, ...] = ()
    generation: int = 0
    refused: bool = False
    rewritten: str = ""
    unsupported: tuple[tuple[int, int], ...] = ()
    model: str = ""
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Answering:
    """The model that was chosen to answer. `version` counts the choices; `problem`: why the one chosen before was given up."""

    name: str
    version: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody thinks of an answer. `vote`: 1 or -1, or 0 for one that refused and that nobody rated."""

    conversation: str
    ordinal: int
    owner: str
    kb: str
    question: str
    answer: str
    note: str
    vote: int
    created: float  # epoch seconds
    refused: bool


class State:
    """The one writer of state.db's tables."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.data_base / "state.db"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == len(_MIGRATIONS):
                return
            db.execute("PRAGMA journal_mode = DELETE")
            # Under the write lock, so that two processes that start together migrate once.
            db.execute("BEGIN IMMEDIATE")
            for number in range(db.execute("PRAGMA user_version").fetchone()[0], len(_MIGRATIONS)):
                db.execute(_MIGRATIONS[number])
                db.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
                connection.execute("PRAGMA foreign_keys = ON")
                yield connection
        except sqlite3.Error as error:
            raise BaseError(f"{self._path} cannot be read or written ({error}): is the disk full?") from error

    def live(self, kb: str) -> int | None:
        """The live generation of a knowledge base, or None if it was never indexed."""
        with self._open() as db:
            row = db.execute("SELECT generation FROM live WHERE kb = ?", (kb,)).fetchone()
        return row[0] if row else None

    def before(self, kb: str) -> int | None:
        """The generation that was live before the one that is, if it can be gone back to."""
        with self._open() as db:
            row = db.execute("SELECT before FROM live WHERE kb = ?", (kb,)).fetchone()
        return row[0] if row else None

    def set_live(self, kb: str, generation: int, before: int | None) -> None:
        """From now on `generation` answers, and `before` is the one to go back to."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO live VALUES (?, ?, ?)", (kb, generation, before))

    def model(self) -> Answering | None:
        """The model that answers; None if none was ever chosen."""
        with self._open() as db:
            row = db.execute("SELECT name, version, problem FROM model").fetchone()
        return Answering(*row) if row else None

    def set_model(self, name: str, after: int, problem: str = "") -> Answering:
        """From now on the model `name` answers, if the choice with version `after` (0: none) still stands.

        Raises:
            ModelError: another process has chosen meanwhile.
        """
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute("SELECT version, name FROM model").fetchone()
            if (row[0] if row else 0) != after:
                raise ModelError(f"{row[1]!r} was chosen to answer meanwhile, elsewhere: nothing was changed here.")
            db.execute("INSERT OR REPLACE INTO model VALUES (1, ?, ?, ?)", (name, after + 1, problem))
        return Answering(name, after + 1, problem)

    @contextmanager
    def renaming(self, old: str, new: str) -> Iterator[None]:
        """Let all that is known of the knowledge base `old` be of `new`, if what is done inside succeeds."""
        with self._open() as db:
            db.execute("DELETE FROM live WHERE kb = ?", (new,))
            db.execute("UPDATE live SET kb = ? WHERE kb = ?", (new, old))
            db.execute("UPDATE conversations SET kb = ? WHERE kb = ?", (new, old))
            yield

    def forget(self, kb: str) -> None:
        """Forget a knowledge base: which generation is live, and its conversations."""
        with self._open() as db:
            db.execute("DELETE FROM live WHERE kb = ?", (kb,))
            db.execute("DELETE FROM conversations WHERE kb = ?", (kb,))

    def conversations(self, owner: str) -> list[Conversation]:
        """Newest first."""
        with self._open() as db:
            rows = db.execute(
                "SELECT id, title, kb, updated FROM conversations WHERE owner = ? ORDER BY updated DESC", (owner,)
            ).fetchall()
        return [Conversation(*row) for row in rows]

    def new_conversation(self, owner: str, kb: str, title: str) -> str:
        id_ = secrets.token_urlsafe(12)
        with self._open() as db:
            db.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?)", (id_, owner, kb, title, time.time()))
        return id_

    def messages(self, conversation: str, owner: str) -> list[Message]:
        """Raises BaseError, as all of these do, for a conversation that is not `owner`'s."""
        with self._open() as db:
            self._check(db, conversation, owner)
            rows = db.execute(
                "SELECT role, content, found FROM messages WHERE conversation = ? ORDER BY ordinal", (conversation,)
            ).fetchall()
        return [Message(role, content, **_found_from(found)) for role, content, found in rows]

    def add_message(self, conversation: str, owner: str, role: str, content: str, *, generation: int = 0,
                    hits: Sequence[Hit] = (), quotes: Sequence[Quote] = (), refused: bool = False, rewritten: str = "",
                    unsupported: Sequence[tuple[int, int]] = (), model: str = "", plain: bool = False) -> None:  # fmt: skip
        found = json.dumps(
            {"hits": [asdict(hit) for hit in hits], "quotes": [asdict(quote) for quote in quotes],
             "generation": generation, "refused": refused, "rewritten": rewritten, "unsupported": unsupported, "model": model,
             "plain": plain},
            ensure_ascii=False,
        )  # fmt: skip
        with self._open() as db:
            self._check(db, conversation, owner)
            db.execute(
                "INSERT INTO messages SELECT ?, count(*), ?, ?, ? FROM messages WHERE conversation = ?",
                (conversation, role, content, found, conversation),
            )
            db.execute("UPDATE conversations SET updated = ? WHERE id = ?", (time.time(), conversation))

    def truncate(self, conversation: str, owner: str, keep: int) -> None:
        """Keep the first `keep` messages."""
        with self._open() as db:
            self._check(db, conversation, owner)
            db.execute("DELETE FROM messages WHERE conversation = ? AND ordinal >= ?", (conversation, keep))

    def rate(self, conversation: str, owner: str, ordinal: int, vote: int, note: str = "") -> None:
        """A thumb up (1) or down (-1) for the answer at `ordinal`, in place of an earlier one; 0 takes it back.

        It goes with its answer: an answer that is asked for again has none. Raises BaseError where it is not the owner's answer.
        """
        if vote not in (-1, 0, 1):
            raise ValueError(f"a vote of {vote}")
        with self._open() as db:
            self._check(db, conversation, owner)
            db.execute("DELETE FROM feedback WHERE conversation = ? AND ordinal = ?", (conversation, ordinal))
            if vote:
                there = "SELECT 1 FROM messages WHERE conversation = ? AND ordinal = ? AND role = 'assistant'"
                if not db.execute(there, (conversation, ordinal)).fetchone():
                    raise BaseError("That answer is not there any more.")
                db.execute("INSERT INTO feedback VALUES (?, ?, ?, ?, ?)", (conversation, ordinal, vote, note, time.time()))

    def votes(self, conversation: str, owner: str) -> dict[int, int]:
        """Ordinal → vote, of the answers of a conversation that were rated."""
        with self._open() as db:
            self._check(db, conversation, owner)
            rows = db.execute("SELECT ordinal, vote FROM feedback WHERE conversation = ?", (conversation,)).fetchall()
        return dict(rows)

    def feedback(self, kb: str, owner: str | None = None) -> list[Feedback]:
        """Answers about a knowledge base that were rated, and those that refused, oldest first; of one owner, or of all."""
        asked = (
            "SELECT m.conversation, m.ordinal, c.owner, c.kb, q.content, m.content, coalesce(f.note, ''), coalesce(f.vote, 0), "
            "coalesce(f.created, c.updated), json_extract(m.found, '$.refused') = 1 AS refused FROM messages AS m "
            "JOIN conversations AS c ON c.id = m.conversation "
            "JOIN messages AS q ON q.conversation = m.conversation AND q.ordinal = m.ordinal - 1 AND q.role = 'user' "
            "LEFT JOIN feedback AS f ON f.conversation = m.conversation AND f.ordinal = m.ordinal "
            "WHERE m.role = 'assistant' AND c.kb = ? AND (f.vote IS NOT NULL OR refused) AND (? IS NULL OR c.owner = ?) "
            "ORDER BY c.updated, m.conversation, m.ordinal"
        )
        with self._open() as db:
            rows = db.execute(asked, (kb, owner, owner)).fetchall()
        return [Feedback(*row) for row in rows]

    def rename(self, conversation: str, owner: str, title: str) -> None:
        with self._open() as db:
            self._check(db, conversation, owner)
            db.execute("UPDATE conversations SET title = ? WHERE id = ?", (title, conversation))

    def delete(self, conversation: str, owner: str) -> None:
        with self._open() as db:
            self._check(db, conversation, owner)
            db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))

    @staticmethod
    def _check(db: sqlite3.Connection, conversation: str, owner: str) -> None:
        asked = "SELECT 1 FROM conversations WHERE id = ? AND owner = ?"
        # An id of ours is ASCII; half a character, which JSON can bring, is nothing that SQLite can be asked for.
        if not conversation.isascii() or not db.execute(asked, (conversation, owner)).fetchone():
            raise BaseError("That conversation is not there any more.")


def _found_from(text: str) -> dict:
    found = json.loads(text)
    hits = tuple(map(_hit_from, found["hits"]))
    unsupported = tuple((start, end) for start, end in found.get("unsupported", ()))
    return found | {"hits": hits, "quotes": tuple(Quote(**quote) for quote in found["quotes"]), "unsupported": unsupported}


def _hit_from(row: dict) -> Hit:
    chunk = Chunk(**row["chunk"] | {"heading": tuple(row["chunk"]["heading"])})
    joined = tuple((start, end, score) for start, end, score in row.get("joined", ()))
    return Hit(**row | {"chunk": chunk, "also": tuple(row.get("also", ())), "joined": joined})
