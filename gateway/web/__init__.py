"""What every route says and hears in the same words: problems, queries, bodies, pages, entity tags, files. It knows
nobody else in the gateway."""

from typing import Final

API: Final = "/api/v1"
"""Where the API lives. Every router of it names its whole path, which is what metrics call its routes by."""
