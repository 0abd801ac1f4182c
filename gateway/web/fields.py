"""The fields of `domain/fields` as pydantic knows them: in a body or a query, `Annotated[str, Checked(EMAIL)]`.

The type is looked at by pydantic, everything else by the field itself, as at every other door; `gateway.web.wording`
says in the field's words what did not fit, and OpenAPI is told what the field's schema says.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from domain.fields import catalogue, moments, people, stock, webhooks
from domain.fields.core import Whole
from domain.model import Personal


class _Field(Protocol):
    @property
    def schema(self) -> dict[str, Any]: ...
    @property
    def parse(self) -> Callable[[Any], Any]: ...


class Checked:
    """Metadata of a type: the field that checks the value, and makes its one spelling of it."""

    def __init__(self, field: _Field) -> None:
        self._field = field

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        field = self._field
        if isinstance(field, Whole):  # a query's number is written in digits: that is pydantic's to read
            return core_schema.int_schema(ge=field.least, le=field.most)
        said = None if source is str else core_schema.to_string_ser_schema()
        return core_schema.no_info_after_validator_function(field.parse, core_schema.str_schema(), serialization=said)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self._field.schema)


def personal(text: str | None) -> Personal | None:
    """What is said about a person, as it travels in commands."""
    return None if text is None else Personal(text)


EmailAddress = Annotated[str, Checked(people.EMAIL)]
AccountName = Annotated[str, Checked(people.ACCOUNT_NAME)]
KeyName = Annotated[str, Checked(people.KEY_NAME)]
NewPassword = Annotated[str, Checked(people.PASSWORD)]
Role = Literal["customer", "staff", "admin"]
Principal = Annotated[str, Checked(people.PRINCIPAL)]

Sku = Annotated[str, Checked(catalogue.SKU)]
Slug = Annotated[str, Checked(catalogue.SLUG)]
Name = Annotated[str, Checked(catalogue.NAME)]
Title = Annotated[str, Checked(catalogue.TITLE)]
Description = Annotated[str, Checked(catalogue.DESCRIPTION)]
Attribute = Annotated[str, Checked(catalogue.ATTRIBUTE)]
Barcode = Annotated[str, Checked(catalogue.BARCODE)]
Currency = Annotated[str, Checked(catalogue.CURRENCY)]
ProductStatus = Annotated[str, Checked(catalogue.STATUS)]
Price = Annotated[int, Checked(catalogue.PRICE)]
Weight = Annotated[int, Checked(catalogue.WEIGHT)]
Position = Annotated[int, Checked(catalogue.POSITION)]
Quantity = Annotated[int, Checked(catalogue.QUANTITY)]
Searched = Annotated[str, Checked(catalogue.SEARCHED)]

Reason = Annotated[str, Checked(stock.REASON)]
Reference = Annotated[str, Checked(stock.REFERENCE)]
Received = Annotated[int, Checked(stock.RECEIVED)]

Day = Annotated[date, Checked(moments.DAY)]
Moment = Annotated[datetime, Checked(moments.MOMENT)]

Url = Annotated[str, Checked(webhooks.URL)]
EndpointDescription = Annotated[str, Checked(webhooks.ENDPOINT_DESCRIPTION)]
