"""Query strings that a route reads itself: parsed, refused, and put into a canonical form."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalogue.product_query import ProductsQuery
from gateway.web.problems import Problem
from gateway.web.queries import check_known, parse_query, query_parameters


def read(query_string: str) -> ProductsQuery:
    return parse_query(ProductsQuery, query_string.encode("latin-1"))


@pytest.mark.parametrize(
    ("query_string", "canonical"),
    [
        ("", ""),
        ("page=1&limit=20&in_stock=false&status=active", ""),
        ("limit=5&page=2", "limit=5&page=2"),
        ("page=2&limit=5", "limit=5&page=2"),
        ("page=1&page=2", "page=2"),
        ("in_stock=1", "in_stock=true"),
        ("q=%20red++heart%0A", "q=red+heart"),
        ("q=gr%C3%B6%C3%9Fe", "q=gr%C3%B6%C3%9Fe"),
        ("q=%ff", "q=%EF%BF%BD"),
        ("q=", ""),
        ("q=-", ""),
        ("q=-red+-blue", "q=red+blue"),
        ("q=red+-blue", "q=red+-blue"),
        ("q=a%26b", "q=a%26b"),
        ("category_id=01936C3E-0000-7000-8000-000000000000", "category_id=01936c3e-0000-7000-8000-000000000000"),
    ],
)
def test_equivalent_queries_have_one_canonical_form(query_string: str, canonical: str) -> None:
    query = read(query_string)
    assert query.canonical() == canonical.encode()
    assert read(query.canonical().decode()) == query


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "q": st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=200),
            "page": st.integers(1, 100_000),
            "limit": st.integers(1, 100),
            "min_price": st.integers(0, 10**10),
            "in_stock": st.booleans(),
            "sort": st.sampled_from(["name", "-name", "price", "-price", "newest", "-newest"]),
        },
    )
)
def test_the_canonical_form_means_the_same(said: dict[str, Any]) -> None:
    query = ProductsQuery.model_validate(said)
    assert parse_query(ProductsQuery, query.canonical()) == query


@pytest.mark.parametrize(
    ("query_string", "pointer"),
    [
        ("page=0", "/query/page"),
        ("limit=101", "/query/limit"),
        ("sort=relevance", "/query"),
        ("sort=relevance&q=-", "/query"),
        ("&".join(["a=1"] * 101), "/query"),
    ],
)
def test_invalid_values_are_refused(query_string: str, pointer: str) -> None:
    with pytest.raises(Problem) as refused:
        read(query_string)
    assert [error["pointer"] for error in refused.value.extensions["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("query_string", "pointers"),
    [
        ("", []),
        ("page=2&page=3", []),
        ("pages=2", ["/query/pages"]),
        ("page=2&Page=2&_=1", ["/query/Page", "/query/_"]),
        ("=1", ["/query/"]),
        ("p%61ge=1", []),
        ("&&", []),
        ("&".join(["page=1"] * 101), ["/query"]),
    ],
)
def test_unknown_parameters_are_refused(query_string: str, pointers: list[str]) -> None:
    known = frozenset({"page"})
    if not pointers:
        check_known(query_string.encode(), known)
        return
    with pytest.raises(Problem) as refused:
        check_known(query_string.encode(), known)
    assert [error["pointer"] for error in refused.value.extensions["errors"]] == pointers


def test_the_openapi_document_has_every_part() -> None:
    parameters = {parameter["name"]: parameter for parameter in query_parameters(ProductsQuery)}
    assert parameters.keys() == ProductsQuery.model_fields.keys()
    assert parameters["limit"]["schema"]["maximum"] == 100
    assert not any(parameter["required"] for parameter in parameters.values())


@pytest.mark.parametrize(
    ("said", "order"),
    [
        ({}, ("newest", True)),
        ({"q": "mug"}, ("relevance", True)),
        ({"sort": "newest"}, ("newest", True)),
        ({"sort": "-newest"}, ("newest", False)),
        ({"sort": "name", "q": "mug"}, ("name", False)),
        ({"sort": "-price"}, ("price", True)),
    ],
)
def test_the_order_of_a_list(said: dict[str, Any], order: tuple[str, bool]) -> None:
    assert ProductsQuery.model_validate(said).order == order
