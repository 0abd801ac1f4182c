"""The words of invoices, for `gateway/apidocs/glossary.py`."""

from collections.abc import Mapping
from typing import Final

WORDS_OF_INVOICES: Final[Mapping[str, str]] = {
    "buyer": "Where the bill goes; null if no address was needed, or it was erased.",
    "corrects": "The number of the invoice that the credit note takes something of back; null for an invoice.",
    "invoice_id": "The invoice or credit note: the order's id and its place among the order's.",
    "issued_at": "When it was drawn up.",
    "label": "In words.",
    "order_number": "The order's number; null if it is older than numbers.",
    "seller": "Who sells, as it is printed.",
    "sums": "What the total consists of, below the lines.",
    "InvoiceLine.title": "What the SKU was called when it was drawn up.",
    "InvoiceLineView.title": "What the SKU was called when it was drawn up.",
    "InvoiceView.kind": "An invoice, or a credit note.",
    "InvoiceView.total_minor": "What it comes to: all that the order cost, or what was given back.",
    "Seller.address": "The seller's address, line by line.",
    "Seller.name": "The seller's name.",
    "Seller.tax_id": "The seller's VAT or tax number; may be empty.",
    "SellerView.address": "The seller's address, line by line.",
    "SellerView.name": "The seller's name.",
    "SellerView.tax_id": "The seller's VAT or tax number; may be empty.",
    "Sum.amount_minor": "The amount, in minor units; what reduces is negative.",
    "Sum.kind": "What kind of sum it is.",
    "SumView.amount_minor": "The amount, in minor units; what reduces is negative.",
    "SumView.kind": "What kind of sum it is.",
}
