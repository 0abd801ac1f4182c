"""What all routes share: problems, queries, bodies, pages, entity tags, files. It imports nothing else from the
gateway."""

from typing import Final

API: Final = "/api/v1"
"""The prefix of the API. Every router states its whole path, by which metrics name its routes."""
