"""Who sells, as invoices print it."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from domain.limits import SELLER_ADDRESS_MAX_LINES, SELLER_LINE_MAX_CHARS
from runtime.settings.section import Section

_Line = Annotated[str, Field(max_length=SELLER_LINE_MAX_CHARS)]


class Seller(Section):
    """The seller on invoices."""

    seller_name: _Line = Field(
        "Tidegate",
        description="The seller's name on invoices. Invoices already issued do not change when this does.",
    )
    seller_address: Annotated[tuple[_Line, ...], NoDecode] = Field(
        (),
        description="The seller's address on invoices, its lines separated by semicolons.",
        max_length=SELLER_ADDRESS_MAX_LINES,
    )
    seller_tax_id: _Line = Field("", description="The seller's VAT or tax number on invoices.")

    @field_validator("seller_address", mode="before")
    @classmethod
    def _split_lines(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(";")))) if isinstance(value, str) else value
