"""Schemathesis against a whole running Tidegate: its answers, checked against the OpenAPI document."""
