"""The page's server: its addresses, access and error responses. The work itself is in `work.py`."""

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from adeada_jax.annotators.browser.cells import LEVELS, cells_of
from adeada_jax.annotators.browser.identities import Invited, Named, UnknownError
from adeada_jax.annotators.browser.messages import runs_of
from adeada_jax.annotators.browser.work import GoneError, Work, image_of
from adeada_jax.data.builders.source_files import read_file
from adeada_jax.data.images import decode_image
from adeada_jax.errors import InputError
from adeada_jax.types import Json

STATIC = Path(__file__).parent / "static"
MOST_BYTES = 4 * 2**20  # in a request's body
_MOST_ANSWERS, _MOST_TASKS, _MOST_HELD = 50, 10, 40
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RefusedError(Exception):
    """A request that is answered with an error; holds its status and message."""

    def __init__(self, status: int, words: str):
        super().__init__(words)
        self.status = status


def application(work: Work, identities: Named | Invited, hosts: list[str]) -> Starlette:
    """The server.

    Args:
      work: what people do.
      identities: who they are.
      hosts: names under which the page may be opened; ['*'] for any.
    """
    asker = functools.partial(_answering, work, identities)
    routes = [
        Route("/", _page),
        Route("/api/status", asker(_status)),
        Route("/api/tasks", asker(_tasks), methods=["POST"]),
        Route("/api/answers", asker(_answers), methods=["POST"]),
        Route("/api/mine/{id}", asker(_mine)),
        Route("/api/shapes/{id}/{number:int}", asker(_shapes)),
        Route("/api/images/{id}/{number:int}", asker(_image)),
        Route("/api/cells/{id}/{number:int}/{region:int}/{level:int}", asker(_cells)),
        Mount("/static", _Static(directory=STATIC)),
    ]
    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    return Starlette(routes=routes, middleware=[trusted])


class _Static(StaticFiles):
    """The page's files, which browsers request again after an update."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update({**_HEADERS, "Cache-Control": "no-cache"})
        return response


Asked = Callable[[Work, str, Request, Any], Json | Response]


def _answering(
    work: Work, identities: Named | Invited, ask: Asked
) -> Callable[[Request], Awaitable[Response]]:
    """An address: finds out who asks, reads the body, and reports errors."""

    async def endpoint(request: Request) -> Response:
        try:
            who = identities.who(request.headers)
            body = await _body(request) if request.method == "POST" else None
            found = await run_in_threadpool(ask, work, who, request, body)
        except (UnknownError, GoneError, RefusedError, InputError, OSError, ClientDisconnect) as error:
            return _told(error)
        if isinstance(found, Response):
            found.headers.update(_HEADERS)
            return found
        return JSONResponse(found, headers={**_HEADERS, "Cache-Control": "no-store"})

    return endpoint


def _told(error: Exception) -> JSONResponse:
    """An error's status and message; 503 if it may pass, so that the page tries again."""
    statuses = {UnknownError: 401, GoneError: 404, InputError: 503, ClientDisconnect: 400}
    status = error.status if isinstance(error, RefusedError) else statuses.get(type(error), 503)
    told = {"error": str(error) or type(error).__name__}
    if isinstance(error, UnknownError):
        told["wants"] = error.wants
    return JSONResponse(told, status, headers=_HEADERS)


async def _body(request: Request) -> dict[str, Any]:
    """A request's JSON.

    Raises:
      RefusedError: it comes from another site's page, is no JSON, or is too long.
    """
    if not _is_own(request.headers.get("origin"), request.headers.get("host")):
        raise RefusedError(403, "answers are taken from this server's own page only")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedError(415, "JSON is expected")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise RefusedError(413, f"at most {MOST_BYTES} bytes are taken at once")
        parts.append(part)
    try:
        body = json.loads(b"".join(parts))
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()  # errors quote parts of it
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"this is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RefusedError(400, "an object is expected")
    return body


def _is_own(origin: str | None, host: str | None) -> bool:
    """Whether a request comes from a page of this server, or from no page."""
    try:
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:
        return False


def _page(request: Request) -> Response:
    return FileResponse(STATIC / "page.html", headers={**_HEADERS, "Cache-Control": "no-cache"})


def _status(work: Work, who: str, request: Request, body: None) -> Json:
    return work.status(who)


def _tasks(work: Work, who: str, request: Request, body: Mapping[str, Any]) -> Json:
    held, page, count = body.get("held", []), body.get("page"), body.get("count", 1)
    pairs = isinstance(held, list) and all(isinstance(key, list) and len(key) == 2 for key in held)
    fits = pairs and all(isinstance(key[0], str) and isinstance(key[1], int) for key in held)
    if not fits or not isinstance(page, str) or type(count) is not int or len(page) > 64:
        raise RefusedError(400, "give request, page, held and count")
    id: str = body.get("request", "")
    tasks = work.tasks(
        who, id, page, [(key[0], key[1]) for key in held[:_MOST_HELD]], min(count, _MOST_TASKS)
    )
    return {"request": id, "tasks": tasks}


def _answers(work: Work, who: str, request: Request, body: Mapping[str, Any]) -> Json:
    answers = body.get("answers")
    if not isinstance(answers, list) or len(answers) > _MOST_ANSWERS:
        raise RefusedError(400, f"answers are a list of at most {_MOST_ANSWERS}")
    return work.take(who, answers)


def _mine(work: Work, who: str, request: Request, body: None) -> Json:
    return {"answers": work.mine(who, request.path_params["id"])}


def _shapes(work: Work, who: str, request: Request, body: None) -> Json:
    return {"regions": work.shapes(who, request.path_params["id"], request.path_params["number"])}


def _image(work: Work, who: str, request: Request, body: None) -> Response:
    asked = work.request(request.path_params["id"])
    name = image_of(asked, request.path_params["number"])
    try:
        content = read_file(asked.path.parent / asked.images[name].file)
    except InputError as error:
        raise RefusedError(500, f"the image '{name}' cannot be shown: {error}") from error
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(content, media_type="image/png", headers=headers)


def _cells(work: Work, who: str, request: Request, body: None) -> Json:
    asked, place = work.request(request.path_params["id"]), request.path_params
    name = image_of(asked, place["number"])
    region = asked.by_key.get((name, place["region"]))
    if region is None or place["level"] not in LEVELS:
        raise RefusedError(404, f"region {place['region']} of '{name}' has no such cells")
    image = _decoded(asked.path.parent / asked.images[name].file, name)
    cells = cells_of(image, region, place["level"])
    return {"cells": int(cells.max()) + 1, "runs": runs_of(cells)}


@functools.lru_cache(maxsize=4)
def _decoded(path: Path, name: str) -> np.ndarray:
    """An image's pixels, kept for the next region of it.

    Raises:
      RefusedError: it cannot be read.
    """
    try:
        return decode_image(read_file(path), name)
    except InputError as error:
        raise RefusedError(500, f"the image '{name}' cannot be shown: {error}") from error
