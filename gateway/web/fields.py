"""The fields of `domain/fields` for pydantic: in a body or a query, `Annotated[str, Checked(EMAIL)]`.

Pydantic checks the type, and the field itself everything else, as for all other input. `gateway.web.wording` turns
errors into the field's words, and OpenAPI gets the field's schema.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from domain.fields import addresses, catalogue, checkouts, moments, people, stock, webhooks
from domain.fields.core import Whole
from domain.model import Personal
from domain.numbers import CREDIT_NOTES, NUMBER_MAX_CHARS, ORDERS, numbered, parsed_number


class _Field(Protocol):
    @property
    def schema(self) -> dict[str, Any]: ...
    @property
    def parse(self) -> Callable[[Any], Any]: ...


class Checked:
    """Metadata of a type: the field that checks and normalizes the value."""

    def __init__(self, field: _Field) -> None:
        self._field = field

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        field = self._field
        if isinstance(field, Whole):  # pydantic parses numbers, which in a query are text
            return core_schema.int_schema(ge=field.least, le=field.most)
        said = None if source is str else core_schema.to_string_ser_schema()
        return core_schema.no_info_after_validator_function(field.parse, core_schema.str_schema(), serialization=said)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self._field.schema)


def personal(text: str | None) -> Personal | None:
    """Personal data in the form in which commands carry it."""
    return None if text is None else Personal(text)


def _number(series: str, whose: str) -> AfterValidator:
    """Normalizes a number of a series, however it was typed."""

    def read(typed: str) -> str:
        found = parsed_number(typed)
        if found is None or found[0] != series:
            raise ValueError(f"{whose} number is like {numbered(series, 123)}")
        return numbered(*found)

    return AfterValidator(read)


OrderNumber = Annotated[str, Field(max_length=NUMBER_MAX_CHARS), _number(ORDERS, "an order's")]
CreditNoteNumber = Annotated[str, Field(max_length=NUMBER_MAX_CHARS), _number(CREDIT_NOTES, "a credit note's")]

EmailAddress = Annotated[str, Checked(people.EMAIL)]
AccountName = Annotated[str, Checked(people.ACCOUNT_NAME)]
KeyName = Annotated[str, Checked(people.KEY_NAME)]
NewPassword = Annotated[str, Checked(people.PASSWORD)]
TaxId = Annotated[str, Checked(people.TAX_ID)]
CustomerGroup = Annotated[str, Checked(people.CUSTOMER_GROUP)]
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
VariantKind = Annotated[str, Checked(catalogue.KIND)]
TaxClass = Annotated[str, Checked(catalogue.TAX_CLASS)]
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

Country = Annotated[str, Checked(addresses.COUNTRY)]
Region = Annotated[str, Checked(addresses.REGION)]
PostalCode = Annotated[str, Checked(addresses.POSTAL_CODE)]
AddressLine = Annotated[str, Checked(addresses.ADDRESS_LINE)]
MoreOfAddress = Annotated[str, Checked(addresses.MORE_OF_ADDRESS)]
PromotionCode = Annotated[str, Checked(checkouts.PROMOTION_CODE)]
GiftCardCode = Annotated[str, Checked(checkouts.GIFT_CARD_CODE)]
CheckoutNote = Annotated[str, Checked(checkouts.NOTE)]

Url = Annotated[str, Checked(webhooks.URL)]
EndpointDescription = Annotated[str, Checked(webhooks.ENDPOINT_DESCRIPTION)]
