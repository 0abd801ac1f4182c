"""`python -m runtime.metrics` prints the tables of `docs/metrics.md`."""

import sys

from runtime.metrics.page import markdown_tables

sys.stdout.write(markdown_tables())
