"""Errors for clients: the message of lsr as application/problem+json (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from lsr.checks import shown
from lsr.errors import DeadlineError, IndexFormatError, LsrError, MissingExtraError, ShardError, StorageError

PROBLEM = "application/problem+json"
RETRY_AFTER = "Retry-After"


class RequestError(LsrError):
    """A refused request, with its status. retry_after: seconds, if any."""

    def __init__(self, status: HTTPStatus, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def status_of(error: LsrError) -> HTTPStatus:
    """The HTTP status of an lsr error: 4xx, unless the error is about the disk or the installation."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, DeadlineError):
        return HTTPStatus.GATEWAY_TIMEOUT
    if isinstance(error, StorageError | ShardError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, IndexFormatError | MissingExtraError):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return HTTPStatus.UNPROCESSABLE_ENTITY


def problem(status: int, detail: str, error: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """A response in the format of RFC 9457. detail: the message. error: the name of lsr's error class."""
    content: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status)}
    content |= {"detail": detail, **({} if error is None else {"error": error})}
    return Response(json.dumps(content), status, headers, PROBLEM)


def answer_of(error: LsrError) -> Response:
    """The response for an lsr error."""
    soon = 1 if isinstance(error, StorageError | DeadlineError) else None
    retry = error.retry_after if isinstance(error, RequestError) else soon
    headers = {} if retry is None else {RETRY_AFTER: str(retry)}
    if status_of(error) == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status_of(error), str(error), type(error).__name__, headers)


def answer_errors(app: FastAPI) -> None:
    """Let an app answer every error as a problem. Clients get no details of errors that are not lsr's own."""

    @app.exception_handler(LsrError)
    async def of_lsr(request: Request, error: LsrError) -> Response:
        return answer_of(error)

    @app.exception_handler(RequestValidationError)
    async def of_address(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]  # bodies are read by lsr.serve.bodies
        said = f"{first['loc'][-1]} is {shown(first['input'])}: {first['msg'].lower()}"
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, said, "ParameterError")

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def of_defect(request: Request, error: Exception) -> Response:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; see the log of the server")
