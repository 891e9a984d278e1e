"""The retrieval of a knowledge base as a LangChain retriever."""

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from kb.base import KnowledgeBase


class Retriever(BaseRetriever):
    """`invoke(question)` returns LangChain documents, best first."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    base: KnowledgeBase

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [
            Document(
                hit.chunk.text,
                id=hit.chunk.id,
                metadata={"root": hit.source, "source": hit.path, "title": hit.title, "heading": " › ".join(hit.chunk.heading),
                          "start": hit.chunk.start, "end": hit.chunk.end, "score": hit.score},
            )
            for hit in self.base.search(query).hits
        ]  # fmt: skip
