"""The words of invoices, for `gateway/apidocs/glossary.py`."""

from collections.abc import Mapping
from typing import Final

WORDS_OF_INVOICES: Final[Mapping[str, str]] = {
    "buyer": "The billing address; null if none was needed, or it was erased.",
    "corrects": "The number of the invoice that the credit note corrects; null for an invoice.",
    "invoice_id": "The invoice or credit note: the order's id, and its position among the order's documents.",
    "issued_at": "When it was issued.",
    "label": "A label for people.",
    "order_number": "The order's number; null for orders older than numbers.",
    "seller": "The seller, as printed.",
    "sums": "The sums below the lines that make up the total.",
    "InvoiceLine.title": "The SKU's name when it was issued.",
    "InvoiceLineView.title": "The SKU's name when it was issued.",
    "InvoiceView.kind": "An invoice, or a credit note.",
    "InvoiceView.total_minor": "Its total: the full cost of the order, or the amount refunded.",
    "Seller.address": "The seller's address, line by line.",
    "Seller.name": "The seller's name.",
    "Seller.tax_id": "The seller's VAT or tax number; may be empty.",
    "SellerView.address": "The seller's address, line by line.",
    "SellerView.name": "The seller's name.",
    "SellerView.tax_id": "The seller's VAT or tax number; may be empty.",
    "Sum.amount_minor": "The amount, in minor units; reductions are negative.",
    "Sum.kind": "What kind of sum it is.",
    "SumView.amount_minor": "The amount, in minor units; reductions are negative.",
    "SumView.kind": "What kind of sum it is.",
}
