"""What the server has in memory that trials are forked from: libraries and jieba's dictionary, and no open index."""

import importlib

from kb.words import words

for name in ("chromadb.api.rust", "tantivy", "kb.retrieve", "ingest.build", "tests.ingest.trials"):
    importlib.import_module(name)
words("词典")
