"""Categories: the tree that products hang in, seen by all, made and changed by admins."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from domain.categories import ChangeCategory, CreateCategory
from gateway.apidocs.responses import (
    IF_MATCH,
    IF_NONE_MATCH,
    IF_SEQ_AT_LEAST,
    NOT_MODIFIED,
    WRITE_HEADERS,
    headers,
    problems,
    write,
)
from gateway.catalogue.bodies import CategoryBody, CategoryChangeBody
from gateway.edge import edge_of
from gateway.identity.caller import NOBODY_ROLE, Caller
from gateway.identity.requirements import require_role
from gateway.views import categories as views
from gateway.views.categories import CategoryTree, CategoryView
from gateway.web import API
from gateway.web.etags import body_tag, conditional, expected_version, version_tag
from gateway.web.problems import Problem
from gateway.web.requests import body_schema, parse, read_body
from gateway.writing.answers import Answer
from gateway.writing.submit import Accepted, Ask, ask

CATEGORIES: Final = f"{API}/categories"
router = APIRouter(prefix=CATEGORIES, tags=["categories"])

Reader = Annotated[Caller, Depends(require_role(NOBODY_ROLE))]
Writer = Annotated[Caller, Depends(require_role("admin", "catalogue:write"))]
IdOrSlug = Annotated[str, Path(description="Its id, or its slug.")]

# A write answers with what it has made, unless `Prefer` says otherwise or it takes longer.
_WAIT_SECONDS: Final = 10

_READ_HEADERS: Final = {"parameters": [IF_NONE_MATCH, IF_SEQ_AT_LEAST]}
_NOT_SHOWN: Final = ("category_not_found", "seq_not_reached")
_REFUSALS: Final = ("slug_taken", "unknown_category", "category_too_deep")


@router.get(
    "",
    response_model=CategoryTree,
    responses={200: headers("ETag"), **NOT_MODIFIED, **problems(401, 403, 503, "seq_not_reached")},
    openapi_extra=_READ_HEADERS,
)
async def list_categories(request: Request, caller: Reader) -> Response:
    """The whole tree, siblings in display order."""
    body = (await edge_of(request).reads.read(request, views.tree)).model_dump_json().encode()
    return conditional(request, body, body_tag(body))


@router.get(
    "/{category_id}",
    response_model=CategoryView,
    responses={200: headers("ETag"), **NOT_MODIFIED, **problems(401, 403, 422, 503, *_NOT_SHOWN)},
    openapi_extra=_READ_HEADERS,
)
async def get_category(request: Request, caller: Reader, category_id: IdOrSlug) -> Response:
    """One category, by its id or its slug."""
    category = await edge_of(request).reads.read(request, lambda read: views.find(read, category_id))
    if category is None:
        raise Problem("category_not_found", "There is no such category.")
    return conditional(request, category.model_dump_json().encode(), version_tag(category.version))


@router.post(
    "",
    status_code=201,
    response_model=CategoryView,
    responses={201: headers("ETag"), **write(*_REFUSALS, "too_many_categories")},
    openapi_extra={**body_schema(CategoryBody), "parameters": WRITE_HEADERS},
)
async def create_category(request: Request, caller: Writer) -> Response:
    """Creates a category, below another or at the top. Admins only. Waits for the outcome unless `Prefer` says
    otherwise."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(CategoryBody, body)
    asked = ask(request, caller.actor, body, wait_seconds=_WAIT_SECONDS)
    category_id = edge.submitter.new_resource_id(asked)
    command = CreateCategory(category_id, said.fields(category_id))
    accepted = await edge.submitter.submit(asked, command, str(category_id))
    return await _written(request, asked, accepted, status=201)


@router.patch(
    "/{category_id}",
    response_model=CategoryView,
    responses={
        200: headers("ETag"),
        **write("category_not_found", "version_conflict", "category_cycle", *_REFUSALS),
    },
    openapi_extra={**body_schema(CategoryChangeBody), "parameters": [IF_MATCH, *WRITE_HEADERS]},
)
async def change_category(request: Request, caller: Writer, category_id: UUID) -> Response:
    """Changes a category, or moves it elsewhere together with everything below it. Admins only. With If-Match, only if
    nobody has changed it since; without, the last writer wins."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    command = ChangeCategory(category_id, parse(CategoryChangeBody, body).changes(), expected_version(request))
    asked = ask(request, caller.actor, body, wait_seconds=_WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, str(category_id))
    return await _written(request, asked, accepted, status=200)


async def _written(request: Request, asked: Ask, accepted: Accepted, *, status: int) -> Response:
    """The category as it is when the command has just been applied; 202 if that is not known yet."""
    if accepted.outcome is None:
        return accepted.response()
    edge = edge_of(request)
    edge.catalogue.change(accepted.outcome.seq)  # the writer sees it at once, at least in this process

    async def made() -> Answer:
        async with edge.engine.connect() as connection:
            category = await views.find(connection, accepted.resource)
        assert category is not None, "what a command was applied to is there"
        said = {"ETag": version_tag(category.version)}
        if status == 201:
            said["Location"] = f"{CATEGORIES}/{category.id}"
        return Answer(category.model_dump_json(), status, said)

    return await edge.answers.respond(asked, accepted, made)
