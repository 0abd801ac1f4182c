"""Further checks for Schemathesis: the promises of this API that OpenAPI cannot express.

Schemathesis loads this module into its process (see `tests.fuzz.fuzzer`); a check registers itself.
"""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

_PROBLEM = "application/problem+json"


@schemathesis.check
def documented_problem(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """An error is a problem document, and its code is one that the operation lists for that status."""
    if response.status_code < 400 or response.status_code == 405:  # 405 is about methods that are not documented
        return
    assert response.headers.get("content-type") == [_PROBLEM], f"an error, but {response.headers.get('content-type')}"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    said = case.operation.definition.raw["responses"].get(str(response.status_code))
    if said is not None:  # otherwise the check of status codes reports it
        codes = said["content"][_PROBLEM].get("examples", {})
        assert document["code"] in codes, f"the code `{document['code']}` is not documented, only {sorted(codes)}"


@schemathesis.check
def findable(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every answer has an id, says how long it took, and is nothing that a browser would execute."""
    assert response.headers.get("x-request-id"), case.path
    assert float(response.headers["x-process-time"][0]) >= 0
    assert response.headers["x-content-type-options"] == ["nosniff"]
    assert response.headers["content-security-policy"]
