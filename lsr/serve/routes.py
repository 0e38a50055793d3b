"""The addresses of a server, and their calls of a Service."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from lsr.serve.answers import as_bytes, document_work, explain_work, facets_work, search_work, why_work
from lsr.serve.bodies import JSON, DocumentBody, DocumentsBody, FacetsBody, IdsBody, SearchBody, described, reader_of
from lsr.serve.changes_asked import adding, deleting, updating
from lsr.serve.request_examples import DOCUMENTS, EXPLAINS, FACETS, IDS, SEARCHES, VECTORS, WHYS
from lsr.serve.service import Service
from lsr.serve.work_queue import Work
from lsr.serve.write_queue import Write

SearchGiven = Annotated[Any, Depends(reader_of(SearchBody))]
DocumentGiven = Annotated[Any, Depends(reader_of(DocumentBody))]
FacetsGiven = Annotated[Any, Depends(reader_of(FacetsBody))]
DocumentsGiven = Annotated[Any, Depends(reader_of(DocumentsBody))]
IdsGiven = Annotated[Any, Depends(reader_of(IdsBody))]


def reading_routes(service: Service) -> APIRouter:
    """Routes that need the key for reading."""
    router = APIRouter(tags=["reading"])

    async def answered(work: Work) -> Response:
        return Response(await service.work.answer(work), media_type=JSON)

    @router.get("/indexes")
    async def indexes() -> Response:
        """The served indexes."""
        return Response(as_bytes([index.facts() for index in service.indexes.values()]), media_type=JSON)

    @router.get("/indexes/{index}")
    async def index(index: str) -> Response:
        """An index: number of documents, columns of metadata, tuned recalls."""
        return Response(as_bytes(service.index(index).facts()), media_type=JSON)

    @router.post("/indexes/{index}/search", openapi_extra=described(SearchBody, *SEARCHES))
    async def search(index: str, body: SearchGiven) -> Response:
        """The best documents for a text or a vector."""
        return await answered(search_work(service.index(index), body, service.settings, service.metrics))

    @router.post("/indexes/{index}/why", openapi_extra=described(DocumentBody, *WHYS))
    async def why(index: str, body: DocumentGiven) -> Response:
        """Why a search returns a document, or at which stage the document is lost, and which parameters return it."""
        return await answered(why_work(service.index(index), body, service.settings))

    @router.post("/indexes/{index}/explain", openapi_extra=described(DocumentBody, *EXPLAINS))
    async def explain(index: str, body: DocumentGiven) -> Response:
        """The score of a document for a query, term by term; `lacking`: query terms that the document lacks."""
        return await answered(explain_work(service.index(index), body, service.settings))

    @router.post("/indexes/{index}/facets", openapi_extra=described(FacetsBody, *FACETS))
    async def facets(index: str, body: FacetsGiven) -> Response:
        """The most frequent values of metadata columns, in all documents or in those that match a condition."""
        return await answered(facets_work(service.index(index), body, service.settings))

    @router.get("/indexes/{index}/documents/{doc_id:path}")
    async def get_document(index: str, doc_id: str, vector: bool = False) -> Response:
        """A stored document. vector: also answer the vector of a document that has a text."""
        return await answered(document_work(service.index(index), doc_id, vector, service.settings))

    return router


def writing_routes(service: Service) -> APIRouter:
    """Routes that need the key for writing."""
    router = APIRouter(tags=["writing"])

    async def answered(index: str, write: Write) -> Any:
        return await service.writes[service.index(index).name].answer(write)

    @router.post("/indexes/{index}/documents", openapi_extra=described(DocumentsBody, *DOCUMENTS, *VECTORS))
    async def add_documents(index: str, body: DocumentsGiven) -> Any:
        """Add documents with new ids. When the server answers, they are on disk, and searches see them."""
        return await answered(index, adding(body.documents, service.settings))

    @router.put("/indexes/{index}/documents", openapi_extra=described(DocumentsBody, *DOCUMENTS, *VECTORS))
    async def update_documents(index: str, body: DocumentsGiven) -> Any:
        """Add documents, or replace those with the same ids."""
        return await answered(index, updating(body.documents, service.settings))

    @router.delete("/indexes/{index}/documents/{doc_id:path}")
    async def delete_document(index: str, doc_id: str) -> Any:
        """Delete a document; deleted: 0 if it does not exist."""
        return await answered(index, deleting([doc_id], service.settings))

    @router.post("/indexes/{index}/delete", openapi_extra=described(IdsBody, *IDS))
    async def delete_documents(index: str, body: IdsGiven) -> Any:
        """Delete documents; deleted: the number of documents found."""
        return await answered(index, deleting(body.ids, service.settings))

    return router
