"""The routes, one file a noun. A route reads its request, asks the edge, and answers; rules are not its business."""

from typing import Final

API: Final = "/api/v1"
"""Where the API lives. Every router of it names its whole path, which is what metrics call its routes by."""
