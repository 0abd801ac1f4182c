"""Schemathesis against a whole running Tidegate: what the OpenAPI document says, held against what is answered."""
