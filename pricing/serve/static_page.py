"""The page at ``/``: files of the package, sent as they are, under headers that let nothing else in."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

STATIC = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GUARDS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every answer: nothing of it is run, framed or fetched by another site, and nothing tells one of it."""


def page_routes() -> APIRouter:
    """Routes of the page; it holds nothing of the model, so that it needs no key."""
    routes = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _KINDS}

    def sent(name: str) -> Response:
        # asked for again at each visit: scripts of two versions do not go together
        return Response(files[name], media_type=_KINDS[Path(name).suffix], headers={"Cache-Control": "no-cache"})

    @routes.get("/")
    async def page() -> Response:
        return sent("page.html")

    @routes.get("/static/{name}")
    async def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "the page has no such file")
        return sent(name)

    return routes
