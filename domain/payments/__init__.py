"""Payments: append-only lists of entries. `entries` defines an entry, `amounts` adds them up, `payment` holds them,
`rules` says what may be requested from a provider and what is believed of its reports, and `coverage` what an order's
payments mean for the order. `commands` and `events` are the messages, `deciding` has their rules; `by_card` is about
payments by gift card and store credit, `refunding` about splitting a refund over an order's payments.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
