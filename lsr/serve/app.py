"""The web application: addresses, errors, headers, limits, and the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp

from lsr.serve.answering import Answering
from lsr.serve.gate import METRICS, PREFIX, Gate
from lsr.serve.page_files import PageFiles
from lsr.serve.problems import RETRY_AFTER, answer_errors
from lsr.serve.routes import reading_routes, writing_routes
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex
from lsr.serve.service import Service
from lsr.version import __version__


def create_app(indexes: Mapping[str, ServedIndex], settings: ServeSettings) -> ASGIApp:
    """The application, whose threads run between its startup and its shutdown. Raises ParameterError."""
    service = Service(indexes, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(
        title="lsr",
        summary="Learned sparse retrieval.",
        version=__version__,
        docs_url=None,  # this page would load scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
        max_body_size=settings.most_bytes,
    )
    answer_errors(app)
    app.include_router(reading_routes(service), prefix=PREFIX)
    app.include_router(writing_routes(service), prefix=PREFIX)
    app.include_router(_operating_routes(service))
    app.mount("/", PageFiles())
    app.add_middleware(Gate, settings=settings)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=[RETRY_AFTER],
        )
    return Answering(app, service.metrics)


def _operating_routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["operating"])

    @router.get("/health")
    async def health() -> Any:
        """Whether the server works; `behind` if the newest commit of an index cannot be opened. Needs no key."""
        return {"status": "behind" if service.follower.behind else "ok"}

    @router.get(METRICS)
    async def metrics() -> Response:
        """Counts and durations for Prometheus. They need the key for reading, and do not wait for searches."""
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return router
