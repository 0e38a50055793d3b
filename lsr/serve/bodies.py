"""The JSON bodies of requests. Keys of a search have the names of the options of `lsr search`, and some are added."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request
from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from lsr.checks import shown
from lsr.distributed.sharded_snapshot import ShardedSnapshot
from lsr.errors import LsrError, ParameterError
from lsr.retrieval.request import WORDS, SearchRequest, word_types
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.problems import RequestError
from lsr.serve.serve_settings import ServeSettings
from lsr.toml import WORDS as OF_TOML
from lsr.toml import said, table
from lsr.vectors.sparse_vectors import SparseVectors

JSON = "application/json"
OF_JSON = {**OF_TOML, "an object": "an object", "a valid dictionary": "an object"}
SECONDS_OF_BODY = 20.0  # limit for receiving a body: the request already counts towards most_requests

Weights = dict[str, float]
AnySnapshot = Snapshot | ShardedSnapshot

_ASKED = {
    "query": Annotated[str | None, Field(description="The text of the query. Give either `query` or `vector`.")],
    "vector": Annotated[
        Weights | None, Field(description="The vector of the query: weights by token, or by component number.")
    ],
    "k": Annotated[int, Field(description="Number of documents to rank.")],
    "only": Annotated[list[str] | None, Field(description="Return only documents with these ids.")],
    **{word: kind | None for word, kind in word_types().items()},
}
_SEARCHED = {
    **_ASKED,
    "deadline_ms": Annotated[int | None, Field(ge=1, description="Time limit of the search in milliseconds.")],
    "offset": Annotated[int, Field(ge=0, description="Number of top hits to skip.")],
    "size": Annotated[int | None, Field(ge=0, description="Maximum number of hits in the answer.")],
    "text": Annotated[bool, Field(description="Include the texts of the documents.")],
    "snippet": Annotated[int | None, Field(description="Include snippets of at most this number of characters.")],
    "explain": Annotated[bool, Field(description="Include the terms of each hit.")],
    "facets": Annotated[list[str], Field(description="Metadata columns whose values are counted.")],
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


SearchBody: Any = _body("SearchBody", "A search. Missing keys have their default values.", _SEARCHED)
DocumentBody: Any = _body("DocumentBody", "A search and a document.", _ASKED, id=str)


@table
class FacetsBody:
    """Columns whose values are counted, in all documents or in those that match `where`."""

    columns: list[str]
    where: str | None = None
    k: Annotated[int, Field(ge=1)] = 10


@table
class DocumentsBody:
    """Documents: objects with `id` and `text`, optionally `title`, and metadata; or with `id` and `vector`.

    Metadata are in the object `metadata`, or in further keys beside `text`.
    """

    documents: list[dict[str, Any]]


@table
class IdsBody:
    """Ids of documents."""

    ids: list[str]


def reader_of(kind: type) -> Callable[[Request], Awaitable[Any]]:
    """A dependency of FastAPI that reads the JSON body of a request.

    kind: the class of the body, made by `table`. The dependency raises ParameterError and RequestError.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    async def read(request: Request) -> Any:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body is not declared as JSON; send Content-Type: {JSON}"
            )
        try:
            async with asyncio.timeout(SECONDS_OF_BODY):
                body = await request.body()
        except TimeoutError:
            raise RequestError(HTTPStatus.REQUEST_TIMEOUT, "the body was not received in time; send it again") from None
        except ClientDisconnect:
            raise RequestError(
                HTTPStatus.BAD_REQUEST, "the connection closed before the end of the body; send it again"
            ) from None
        try:
            return adapter.validate_json(body)
        except ValidationError as error:
            raise _refused(kind, error) from None

    return read


def _refused(kind: type, error: ValidationError) -> LsrError:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        reason = first["ctx"]["error"]
        if reason.startswith("number out of range"):  # the body is valid JSON, so this is not a BAD_REQUEST
            return ParameterError(f"the body has a {reason}; give a number in the range of float64")
        return RequestError(HTTPStatus.BAD_REQUEST, f"the body is not JSON ({reason}); correct it")
    return ParameterError(said(kind, error, OF_JSON) if first["loc"] else "the body is not an object; send one, {...}")


def described(kind: type, *examples: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a body for OpenAPI. examples: each with a `summary` and a `value`."""
    shown = {str(number): example for number, example in enumerate(examples, start=1)}
    content = {JSON: {"schema": TypeAdapter(kind).json_schema(), "examples": shown}}
    return {"requestBody": {"required": True, "content": content}}


def request_of(body: Any, settings: ServeSettings) -> SearchRequest:
    """The one SearchRequest that a body describes. Raises ParameterError."""
    if body.k > settings.most_k:
        raise ParameterError(f"k is {shown(body.k)}; give at most {settings.most_k}")
    if (body.query is None) == (body.vector is None):
        raise ParameterError("the body has both or neither of query and vector; give one of them")
    size = len(body.query if body.vector is None else body.vector)
    if size > settings.most_characters:
        what = "characters" if body.vector is None else "components"
        raise ParameterError(f"the query has {size} {what}; give at most {settings.most_characters}")
    most = max(settings.most_k, 1000)
    for word in ("feedback_depth", "negatives", "fusion_depth", "feedback_terms"):
        if (value := getattr(body, word) or 0) > most:
            raise ParameterError(f"{word} is {shown(value)}; give at most {most}")
    words = {word: value for word in WORDS if (value := getattr(body, word)) is not None}
    return SearchRequest.from_words(words, body.k, body.only)


def asked_of(body: Any, snapshot: AnySnapshot) -> str | SparseVectors:
    """The query: its text, or a vector over the index's components, without tokens that the index lacks."""
    return str(body.query) if body.vector is None else rows_of_weights([body.vector], snapshot)


def rows_of_weights(rows: Sequence[Weights], snapshot: AnySnapshot, drop_unknown: bool = True) -> SparseVectors:
    """Vectors over the components of an index, from weights by token.

    If the index has no vocabulary, keys are numbers of components. drop_unknown: leave out tokens that the index
    lacks; False raises an error for them. Raises ParameterError, VectorsError.
    """
    dim, vocabulary = snapshot.index.dim, snapshot.vocabulary
    if vocabulary is not None:
        return SparseVectors.of(list(rows), dim=dim, vocabulary=vocabulary, drop_unknown=drop_unknown)
    try:
        return SparseVectors.of([{int(name): weight for name, weight in row.items()} for row in rows], dim=dim)
    except ValueError as error:
        if isinstance(error, LsrError):
            raise
        raise ParameterError("the index has no vocabulary; use component numbers as keys of the vector") from None
