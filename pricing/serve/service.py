"""The HTTP service: its routes, and what stands before them."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Security
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from pricing.errors import InputError
from pricing.serve.answers import Failure, ModelCard, PriceAnswer, PriceRequest
from pricing.serve.file_prices import PricedFile
from pricing.serve.model_holder import ModelHolder
from pricing.serve.observing import Figures, Observed
from pricing.serve.serve_settings import ServeSettings
from pricing.serve.served_model import ServedModel
from pricing.serve.static_page import page_routes
from pricing.serve.work_pool import Place, WorkPool

LOOK_SECONDS = 1.0
"""Time between two looks for another model, in seconds."""
_PARQUET = "application/vnd.apache.parquet"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Failure, "description": "The header X-API-Key is missing or wrong."},
    408: {"model": Failure, "description": "The body took too long to arrive."},
    413: {"model": Failure, "description": "The body is too large, or holds too many products."},
    415: {"model": Failure, "description": "The body is of another type."},
    422: {"model": Failure, "description": "The request cannot be understood."},
    429: {"model": Failure, "description": "Too many requests are at work; Retry-After says when to try again."},
    503: {"model": Failure, "description": "The prices took too long."},
}


def create_service(holder: ModelHolder, settings: ServeSettings) -> FastAPI:
    """Make the service.

    Parameters
    ----------
    holder : ModelHolder
        Holds the model; watched for another one while the service runs.
    settings : ServeSettings
        Limits and permissions.

    Returns
    -------
    FastAPI
        Describes itself at /openapi.json, and asks nothing of other hosts.
    """
    pool = WorkPool(settings.workers, settings.in_flight, settings.seconds)
    figures = Figures(holder, pool)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(holder.watch(LOOK_SECONDS))
        yield
        watching.cancel()
        await asyncio.to_thread(pool.close)

    # the pages that FastAPI offers load scripts of another host
    app = FastAPI(
        title="Smart Product Pricing", description="Prices products with a trained model.", lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.include_router(page_routes())
    app.include_router(_open_routes(holder, pool))
    app.include_router(_routes(holder, settings, pool, figures), dependencies=[Security(_key_check(settings))])
    app.add_exception_handler(HTTPException, _refuse)
    app.add_middleware(Observed, figures=figures)
    return app


def _open_routes(holder: ModelHolder, pool: WorkPool) -> APIRouter:
    """Routes that need no key: a prober has none."""
    routes = APIRouter()

    @routes.get("/health", summary="Whether the process answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/ready", summary="Whether a further request would be taken", responses={503: {"model": None}})
    async def ready() -> JSONResponse:
        return JSONResponse({"ready": not pool.full, "model": holder.current.name}, 503 if pool.full else 200)

    return routes


def _routes(holder: ModelHolder, settings: ServeSettings, pool: WorkPool, figures: Figures) -> APIRouter:
    routes = APIRouter()

    @routes.get("/model", response_model=ModelCard, summary="What the model learnt from, and how far it errs")
    async def model() -> Response:
        return JSONResponse(holder.current.card)

    @routes.get(
        "/thumbnail", response_class=Response, summary="A small image of a comparable",
        responses={200: {"content": {"image/jpeg": {}}}, 404: {"model": Failure, "description": "There is none."}},
    )  # fmt: skip
    async def thumbnail(id: Annotated[str, Query(description="A comparable's id.", examples=["t17"])] = "") -> Response:
        image = holder.current.thumbnails.get(id)
        if image is None:
            raise HTTPException(404, "the model has no thumbnail of this product")
        return Response(image, media_type="image/jpeg")

    @routes.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)

    @routes.post(
        "/price", response_model=PriceAnswer, responses=_REFUSALS, summary="Price products",
        openapi_extra=_body({"application/json": {"schema": PriceRequest.model_json_schema()}}),
    )  # fmt: skip
    async def price(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "the body must be JSON; send the header Content-Type: application/json")
        with pool.enter() as place:
            body = bytearray()
            async for part in _received(request, settings):
                body += part
            content, prices = await place.do(_price_json, holder.current, bytes(body))
        figures.count(prices)
        return Response(content, media_type="application/json")

    @routes.post(
        "/price/file", responses=_REFUSALS | {200: {"content": {"text/csv": {}, _PARQUET: {}}}},
        response_class=Response, summary="Price a CSV or Parquet file",
        description="The answer is of the file's own format, or CSV where the header Accept is text/csv.",
        openapi_extra=_body({"text/csv": {"schema": {"type": "string"}, "example": "sample_id,catalog_content\nA1,Tea"},
                             _PARQUET: {"schema": {"type": "string", "format": "binary"}}}),
    )  # fmt: skip
    async def price_file(request: Request) -> Response:
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise HTTPException(415, "send the file itself as the body, with curl by --data-binary @FILE; not a form")
        with contextlib.ExitStack() as opened:
            place = opened.enter_context(pool.enter())
            folder = Path(opened.enter_context(TemporaryDirectory(prefix="pricing-")))
            path = await _spooled(request, settings, folder)
            # who can read CSV alone says so
            as_parquet = path.suffix == ".parquet" and request.headers.get("accept", "").lower() != "text/csv"
            file = PricedFile(path, holder.current, as_parquet)
            await place.do(file.check)
            kind = _PARQUET if as_parquet else "text/csv; charset=utf-8"
            answer = _StreamedFile(file, place, figures, opened.pop_all(), media_type=kind)
            answer.headers["x-model"] = file.model.name
            return answer

    return routes


class _StreamedFile(StreamingResponse):
    """A priced file on its way; frees its place and its copy of the file, whatever becomes of the client."""

    def __init__(
        self, file: PricedFile, place: Place, figures: Figures, opened: contextlib.ExitStack, media_type: str
    ) -> None:
        self._opened, self._seconds = opened, file.model.settings.seconds
        super().__init__(self._chunks(file, place, figures), media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patient(message: Message) -> None:
            # a client that does not read would keep its place for ever
            async with asyncio.timeout(self._seconds):
                await send(message)

        with self._opened:
            await super().__call__(scope, receive, patient)

    @staticmethod
    async def _chunks(file: PricedFile, place: Place, figures: Figures) -> AsyncIterator[bytes]:
        chunks = file.chunks()
        while (made := await place.do(partial(next, chunks, None))) is not None:
            content, priced, refused = made
            figures.products.labels("priced").inc(priced)
            figures.products.labels("refused").inc(refused)
            yield content


def _price_json(model: ServedModel, body: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    """The answer to a JSON request as bytes, and its prices; in a thread."""
    try:
        asked = PriceRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise HTTPException(422, f"{where}: {first['msg']}; GET /openapi.json describes the request") from None
    most = model.settings.max_rows
    if len(asked.products) > most:
        raise HTTPException(413, f"{len(asked.products):,} products; at most {most:,} are priced at a time")
    try:
        answer = model.price(asked.products, asked.comparables, asked.explain)
    except InputError as error:
        raise HTTPException(422, str(error)) from None
    return json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"), answer["prices"]


async def _received(request: Request, settings: ServeSettings) -> AsyncIterator[bytes]:
    """The body as it comes, within the limits of size and time."""
    most, size = settings.max_body, 0
    said = f"the body is larger than {most:,} bytes; send fewer products at a time"
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise HTTPException(413, said)
    stream, ends = request.stream(), asyncio.get_running_loop().time() + settings.seconds
    while True:
        try:
            async with asyncio.timeout_at(ends):
                part = await anext(stream, None)
        except TimeoutError:
            raise HTTPException(408, f"the body took longer than {settings.seconds:g} s to arrive") from None
        if part is None:
            return
        size += len(part)
        if size > most:
            raise HTTPException(413, said)
        yield part


async def _spooled(request: Request, settings: ServeSettings, folder: Path) -> Path:
    """The body as a file in a folder, named by what it holds."""
    raw = folder / "body"
    with raw.open("wb") as out:
        async for part in _received(request, settings):
            out.write(part)
    with raw.open("rb") as written:
        parquet = written.read(4) == b"PAR1"
    return raw.rename(raw.with_suffix(".parquet" if parquet else ".csv"))


def _key_check(settings: ServeSettings) -> Any:
    """What asks for the key where there is one; compared in constant time."""
    header = APIKeyHeader(name="X-API-Key", auto_error=False)

    async def check(given: str | None = Depends(header)) -> None:
        wanted = settings.key
        if wanted is not None and not secrets.compare_digest((given or "").encode(), wanted.encode()):
            raise HTTPException(401, "the header X-API-Key is missing or wrong")

    return check


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {"error": error.detail, "request_id": request.state.request_id}
    return JSONResponse(body, error.status_code, error.headers)


def _body(content: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a body that the route reads by itself."""
    return {"requestBody": {"required": True, "content": content}}
