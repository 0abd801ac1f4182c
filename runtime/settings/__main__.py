"""`python -m runtime.settings` prints the tables of `docs/settings.md`."""

import sys

from runtime.settings.page import markdown_tables

sys.stdout.write(markdown_tables())
