"""What requests hold, as JSON: the words of one SearchRequest, as on the command line, and what is sent with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request
from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from lsr.errors import LsrError, ParameterError
from lsr.retrieval.request import WORDS, SearchRequest, word_types
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.problems import RequestError
from lsr.serve.serve_settings import ServeSettings
from lsr.toml import said, table
from lsr.vectors.sparse_vectors import SparseVectors

JSON = "application/json"
SECONDS_OF_BODY = 20.0  # for it to arrive: meanwhile a request takes the place of another

Weights = dict[str, float]

_ASKED = {
    "query": Annotated[str | None, Field(description="Text to search for; or give `vector`.")],
    "vector": Annotated[Weights | None, Field(description="Token, or number of a component, and its weight.")],
    "k": Annotated[int, Field(description="Documents that are ranked.")],
    "only": Annotated[list[str] | None, Field(description="Ids of the documents that may be found.")],
    **{word: kind | None for word, kind in word_types().items()},
}
_SEARCHED = {
    **_ASKED,
    "deadline_ms": Annotated[int | None, Field(ge=1, description="Milliseconds after which the search ends.")],
    "offset": Annotated[int, Field(ge=0, description="Of the k documents, how many are left out of the answer.")],
    "size": Annotated[int | None, Field(ge=0, description="Hits in the answer, at most.")],
    "text": Annotated[bool, Field(description="With the texts of the documents.")],
    "snippet": Annotated[int | None, Field(description="With snippets of at most so many characters.")],
    "explain": Annotated[bool, Field(description="With the terms of each hit.")],
    "facets": Annotated[list[str], Field(description="Columns of metadata whose values are counted.")],
}
_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(_SEARCHED),
    "k": 10,
    "offset": 0,
    "text": True,
    "explain": False,
    "facets": Field(default_factory=list),
}


def _body(name: str, doc: str, annotations: Mapping[str, Any], **required: Any) -> Any:
    defaults = {key: value for key, value in _DEFAULTS.items() if key in annotations}
    members = {"__module__": __name__, "__doc__": doc, "__annotations__": {**required, **annotations}, **defaults}
    return table(type(name, (), members))


SearchBody: Any = _body("SearchBody", "A search. Words that are not given have their defaults.", _SEARCHED)
DocumentBody: Any = _body("DocumentBody", "A search, and one document.", _ASKED, id=str)


@table
class FacetsBody:
    """Columns whose values are counted, in all documents or in those of which `where` is true."""

    columns: list[str]
    where: str | None = None
    k: Annotated[int, Field(ge=1)] = 10


@table
class DocumentsBody:
    """Documents: objects with `id` and `text`, perhaps `title`, and metadata; or with `id` and `vector`."""

    documents: list[dict[str, Any]]


@table
class IdsBody:
    """Ids of documents."""

    ids: list[str]


def reader_of(kind: type) -> Callable[[Request], Awaitable[Any]]:
    """What reads the body of a request as an object of a class made by `table`. It raises ParameterError."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    async def read(request: Request) -> Any:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send JSON, with Content-Type: {JSON}")
        try:
            async with asyncio.timeout(SECONDS_OF_BODY):
                body = await request.body()
        except TimeoutError:
            raise RequestError(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time; send it again") from None
        except ClientDisconnect:
            raise RequestError(HTTPStatus.BAD_REQUEST, "the connection ended before the body; send it again") from None
        try:
            return adapter.validate_json(body)
        except ValidationError as error:
            raise ParameterError(_said(kind, error)) from None

    return read


def _said(kind: type, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON ({first['ctx']['error']}); correct it"
    return said(kind, error) if first["loc"] else "the body is not an object; send one, {...}"


def described(kind: type, *examples: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of such a body. examples: each with a `summary` and a `value`."""
    shown = {str(number): example for number, example in enumerate(examples, start=1)}
    content = {JSON: {"schema": TypeAdapter(kind).json_schema(), "examples": shown}}
    return {"requestBody": {"required": True, "content": content}}


def request_of(body: Any, settings: ServeSettings) -> SearchRequest:
    """The one SearchRequest that a body describes. Raises ParameterError, RequestError beyond the limits."""
    if body.k > settings.most_k:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"k is {body.k}; this server ranks at most {settings.most_k}")
    if (body.query is None) == (body.vector is None):
        raise ParameterError("give a query or a vector, one of the two")
    size = len(body.query if body.vector is None else body.vector)
    if size > settings.most_characters:
        what = "characters" if body.vector is None else "components"
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"the query has {size} {what}; this server takes at most {settings.most_characters}"
        )
    for word in ("feedback_depth", "negatives", "fusion_depth", "feedback_terms"):
        if (value := getattr(body, word) or 0) > max(settings.most_k, 1000):
            raise RequestError(
                HTTPStatus.BAD_REQUEST, f"{word} is {value}; this server takes at most {max(settings.most_k, 1000)}"
            )
    words = {word: value for word in WORDS if (value := getattr(body, word)) is not None}
    return SearchRequest.from_words(words, body.k, body.only)


def asked_of(body: Any, snapshot: Snapshot) -> str | SparseVectors:
    """The query: its text, or a vector over the index's components, without tokens that the index lacks."""
    return str(body.query) if body.vector is None else rows_of_weights([body.vector], snapshot)


def rows_of_weights(rows: Sequence[Weights], snapshot: Snapshot) -> SparseVectors:
    """By token; by number of the component where the index has no vocabulary. Raises ParameterError, VectorsError."""
    dim, vocabulary = snapshot.index.dim, snapshot.vocabulary
    if vocabulary is not None:
        return SparseVectors.of(list(rows), dim=dim, vocabulary=vocabulary, drop_unknown=True)
    try:
        return SparseVectors.of([{int(name): weight for name, weight in row.items()} for row in rows], dim=dim)
    except ValueError as error:
        if isinstance(error, LsrError):
            raise
        raise ParameterError("the index keeps no tokens; give the numbers of components as names") from None
