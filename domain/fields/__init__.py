"""Fields: what each kind of value may be, defined once for all input.

Whatever takes a value from outside (a body or query of the API, a row of an import, a form, the CLI) calls
`FIELD.parse(given)` and gets the normalized value, or a BadValue with a stable code and a sentence; the caller adds
where the value was (a pointer, a column, an option). `core` has the kinds of fields and `characters` what text may
consist of; the fields are in `people`, `catalogue`, `stock`, `moments` and `webhooks`.

Stored values were validated by the rules of their time and remain valid: commands check only whether a table can hold
them.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
