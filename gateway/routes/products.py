"""Products: found and seen by all, made and changed by admins."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from domain.catalogue import ACTIVE, ARCHIVED, ChangeProduct, ChangeVariant, CreateProduct, SetVariant, VariantAdded
from domain.disclosure import READS_DRAFTS
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
from gateway.catalogue import product_pages
from gateway.catalogue.bodies import ProductBody, ProductChangeBody, VariantBody, VariantChangeBody
from gateway.catalogue.product_pages import PRODUCTS, ProductsPage
from gateway.catalogue.product_query import ProductsQuery
from gateway.edge import edge_of
from gateway.identity.caller import NOBODY, NOBODY_ROLE, Caller, unauthenticated
from gateway.identity.requirements import Requirement, require_role
from gateway.server.fastlane import ready
from gateway.views import products as views
from gateway.views.products import ProductView
from gateway.web.etags import conditional, expected_version, version_tag
from gateway.web.fields import Sku
from gateway.web.problems import Problem
from gateway.web.queries import parse_query, query_parameters
from gateway.web.reads import seq_at_least
from gateway.web.requests import body_schema, parse, read_body
from gateway.writing.answers import Answer
from gateway.writing.submit import Accepted, Ask, ask

router = APIRouter(prefix=PRODUCTS, tags=["products"])

Reader = Annotated[Caller, Depends(require_role(NOBODY_ROLE))]
Writer = Annotated[Caller, Depends(require_role("admin", "catalogue:write"))]
IdOrSlug = Annotated[str, Path(description="Its id, or its slug.")]
_STAFF: Final = Requirement("staff")

# A write answers with what it has made, unless `Prefer` says otherwise or it takes longer.
_WAIT_SECONDS: Final = 10

_NOT_SHOWN: Final = ("product_not_found", "seq_not_reached")
_CHANGE_HEADERS: Final = [IF_MATCH, *WRITE_HEADERS]


@router.get(
    "",
    response_model=ProductsPage,
    responses={
        200: headers("ETag", "Link", "X-Total-Count"),
        **NOT_MODIFIED,
        **problems(401, 403, 422, 503, "seq_not_reached"),
    },
    openapi_extra={"parameters": [*query_parameters(ProductsQuery), IF_NONE_MATCH, IF_SEQ_AT_LEAST]},
)
@ready(lambda scope: product_pages.kept_page(scope["app"].state.edge.catalogue, scope))
async def list_products(request: Request, caller: Reader) -> Response:
    """Finds products, page by page. A changed price shows within a second. `total` is exact for lists; a search counts
    at most 5,000 matches and says so in `total_is_exact`. Pages have weak entity tags: poll with If-None-Match."""
    edge = edge_of(request)
    asked, seq = request.scope["query_string"], seq_at_least(request)
    page = edge.catalogue.get(asked) if seq is None else None
    if page is None:
        query = parse_query(ProductsQuery, asked)
        if query.status != ACTIVE:
            if caller is NOBODY:
                raise unauthenticated("Only staff may list products that are not active.")
            _STAFF.check(caller)
            if not caller.sees_drafts:
                raise Problem("forbidden", f"Listing products that are not active needs the scope `{READS_DRAFTS}`.")
        page = await product_pages.page(edge.reads, edge.catalogue, query, asked, seq)
    return product_pages.respond(product_pages.form(request.scope, page))


@router.get(
    "/{product_id}",
    response_model=ProductView,
    responses={200: headers("ETag"), **NOT_MODIFIED, **problems(401, 403, 422, 503, *_NOT_SHOWN)},
    openapi_extra={"parameters": [IF_NONE_MATCH, IF_SEQ_AT_LEAST]},
)
async def get_product(request: Request, caller: Reader, product_id: IdOrSlug) -> Response:
    """One product, by its id or its slug. Products that are not active are found by staff with the scope
    `catalogue:read`."""
    everything = caller.sees_drafts
    product = await edge_of(request).reads.read(
        request, lambda read: views.find(read, product_id, all_statuses=everything)
    )
    if product is None:
        raise Problem("product_not_found", "There is no such product.")
    body = product.model_dump_json().encode()
    return conditional(request, body, version_tag(product.version), private=product.status != ACTIVE)


@router.post(
    "",
    status_code=201,
    response_model=ProductView,
    responses={201: headers("ETag"), **write("slug_taken", "sku_taken", "unknown_category")},
    openapi_extra={**body_schema(ProductBody), "parameters": WRITE_HEADERS},
)
async def create_product(request: Request, caller: Writer) -> Response:
    """Adds a product to the catalogue, with its variants. Admins only. Waits for the outcome unless `Prefer` says
    otherwise."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(ProductBody, body)
    asked = ask(request, caller.actor, body, wait_seconds=_WAIT_SECONDS)
    product_id = edge.submitter.new_resource_id(asked)
    command = CreateProduct(product_id, said.fields(product_id), said.variant_fields())
    accepted = await edge.submitter.submit(asked, command, str(product_id))
    return await _written(request, asked, accepted, status=201)


@router.patch(
    "/{product_id}",
    response_model=ProductView,
    responses={
        200: headers("ETag"),
        **write("product_not_found", "version_conflict", "slug_taken", "unknown_category"),
    },
    openapi_extra={**body_schema(ProductChangeBody), "parameters": _CHANGE_HEADERS},
)
async def change_product(request: Request, caller: Writer, product_id: UUID) -> Response:
    """Changes a product's own fields. Admins only. Variants are changed one by one. With If-Match, only if nobody has
    changed it since; without, the last writer wins."""
    body = await read_body(request, edge_of(request).config.body_max_bytes)
    changes = parse(ProductChangeBody, body).changes()
    return await _change(request, caller, body, ChangeProduct(product_id, changes, expected_version(request)))


@router.put(
    "/{product_id}/variants/{sku}",
    response_model=ProductView,
    responses={
        200: headers("ETag"),
        201: {"model": ProductView, "description": "The variant is new.", **headers("ETag")},
        **write("product_not_found", "version_conflict", "sku_taken", "variant_kind_fixed", "too_many_variants"),
    },
    openapi_extra={**body_schema(VariantBody), "parameters": _CHANGE_HEADERS},
)
async def put_variant(request: Request, caller: Writer, product_id: UUID, sku: Sku) -> Response:
    """Adds a variant to a product, or replaces it. Admins only. Returns the product. A new price applies to every order
    that is applied after it. If-Match refers to the product."""
    body = await read_body(request, edge_of(request).config.body_max_bytes)
    fields = parse(VariantBody, body).fields(sku)
    return await _change(request, caller, body, SetVariant(product_id, fields, expected_version(request)))


@router.patch(
    "/{product_id}/variants/{sku}",
    response_model=ProductView,
    responses={
        200: headers("ETag"),
        **write(
            "product_not_found", "variant_not_found", "variant_kind_fixed", "version_conflict", "too_many_attributes"
        ),
    },
    openapi_extra={**body_schema(VariantChangeBody), "parameters": _CHANGE_HEADERS},
)
async def change_variant(request: Request, caller: Writer, product_id: UUID, sku: Sku) -> Response:
    """Changes the given fields of a variant. Admins only. Returns the product. A new price applies to every order that
    is applied after it. If-Match refers to the product."""
    body = await read_body(request, edge_of(request).config.body_max_bytes)
    changes = parse(VariantChangeBody, body).changes()
    return await _change(request, caller, body, ChangeVariant(product_id, sku, changes, expected_version(request)))


@router.post(
    "/{product_id}/archive",
    response_model=ProductView,
    responses={200: headers("ETag"), **write("product_not_found", "version_conflict")},
    openapi_extra={"parameters": _CHANGE_HEADERS},
)
async def archive_product(request: Request, caller: Writer, product_id: UUID) -> Response:
    """Takes a product out of the catalogue: it can no longer be found or ordered. Admins only. Orders keep referring to
    it; changing its status brings it back."""
    command = ChangeProduct(product_id, {"status": ARCHIVED}, expected_version(request))
    return await _change(request, caller, b"", command)


async def _change(
    request: Request, caller: Caller, body: bytes, command: ChangeProduct | SetVariant | ChangeVariant
) -> Response:
    asked = ask(request, caller.actor, body, wait_seconds=_WAIT_SECONDS)
    accepted = await edge_of(request).submitter.submit(asked, command, str(command.product_id))
    added = accepted.outcome is not None and accepted.outcome.type == VariantAdded.type
    return await _written(request, asked, accepted, status=201 if added else 200)


async def _written(request: Request, asked: Ask, accepted: Accepted, *, status: int) -> Response:
    """The product as it is when the command has just been applied; 202 if that is not known yet."""
    if accepted.outcome is None:
        return accepted.response()
    edge = edge_of(request)
    edge.catalogue.change(accepted.outcome.seq)  # the writer sees it at once, at least in this process

    async def made() -> Answer:
        async with edge.engine.connect() as connection:
            product = await views.find(connection, accepted.resource, all_statuses=True)
        assert product is not None, "what a command was applied to is there"
        said = {"ETag": version_tag(product.version)}
        if status == 201:
            said["Location"] = f"{PRODUCTS}/{product.id}"
        return Answer(product.model_dump_json(), status, said)

    return await edge.answers.respond(asked, accepted, made)
