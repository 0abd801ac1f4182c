"""Tests that follow the documentation to the letter, in a copy of the checkout."""
