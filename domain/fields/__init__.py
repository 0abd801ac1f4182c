"""Fields: what each kind of value may be, said once and asked at every door.

A door is whatever takes a value from outside: a body or query of the API, a row of an import, a form, the CLI. Each
calls `FIELD.parse(given)` and gets the value in its one spelling, or a BadValue with a stable code and a sentence;
where the field stands (a pointer, a column, an option) is the door's to add. `core` has the kinds of fields and
`characters` what text may be made of; the fields are in `people`, `catalogue`, `stock`, `moments` and `webhooks`.

What the tables hold already was read by the rules of its day, and may stay: commands check only what no table could
hold.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
