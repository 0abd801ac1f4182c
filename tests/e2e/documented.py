"""What the OpenAPI document says of an answer, held against every answer that a test receives: so each test of the API
is one of its document as well."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import jsonschema_rs

from gateway.app import api
from runtime.settings import Settings

_DOCUMENT: Final = "urn:tidegate:openapi"
_PARAMETER: Final = re.compile(r"\\\{[^/]+?\\\}")


class _Operation(NamedTuple):
    """An operation, the paths that it takes, and what it says of its answers by status."""

    method: str
    template: str
    pattern: "re.Pattern[str]"
    responses: Mapping[str, Any]


@cache
def _document() -> Any:
    return api(Settings()).openapi()


@cache
def _registry() -> "jsonschema_rs.Registry":
    return jsonschema_rs.Registry(
        [(_DOCUMENT, {**_document(), "$schema": "https://json-schema.org/draft/2020-12/schema"})]
    )


@cache
def _operations() -> list[_Operation]:
    """Those whose path has the fewest parameters first: a path that stands word for word is no value for one."""
    found = [
        _Operation(method.upper(), path, re.compile(_PARAMETER.sub("[^/]+", re.escape(path))), operation["responses"])
        for path, item in _document()["paths"].items()
        for method, operation in item.items()
        if "responses" in operation
    ]
    return sorted(found, key=lambda operation: operation.template.count("{"))


@cache
def _judge(method: str, template: str, status: str, media_type: str) -> "jsonschema_rs.Validator":
    steps = ("paths", template, method.lower(), "responses", status, "content", media_type, "schema")
    pointer = "/".join(quote(step.replace("~", "~0").replace("/", "~1"), safe="~") for step in steps)
    return jsonschema_rs.validator_for({"$ref": f"{_DOCUMENT}#/{pointer}"}, registry=_registry(), validate_formats=True)


def judge(method: str, path: str, status: int, media_type: str, body: bytes) -> None:
    """Fails unless the operation documents this status with such a body; HEAD is GET without one. A path
    outside the document is judged only if it looks like one of the API's."""
    if status == 405:  # of methods that no operation is documented for
        return
    method = "GET" if method == "HEAD" else method
    operation = _operation(method, path)
    if operation is None:
        assert not path.startswith("/api/v1/") or status == 404, f"{method} {path} is not documented"
        return
    name, said = f"{method} {operation.template}", operation.responses.get(str(status))
    assert said is not None, f"{name} does not document the status {status}"
    if not body:
        return
    content = said.get("content", {})
    media_type = media_type.partition(";")[0]
    assert media_type in {each.partition(";")[0] for each in content}, f"{name} does not document {media_type}: {said}"
    if media_type.endswith("json") and "schema" in content[media_type]:
        validator = _judge(method, operation.template, str(status), media_type)
        for wrong in validator.iter_errors(json.loads(body)):
            raise AssertionError(f"{name}, {status}: {wrong}")


def _operation(method: str, path: str) -> _Operation | None:
    return next((each for each in _operations() if each.method == method and each.pattern.fullmatch(path)), None)
