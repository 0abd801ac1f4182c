"""Payments: what has moved, told by entries that are only ever added to. `entries` says what one is, `amounts` adds
them up, `payment` holds them, `rules` says what may be asked of a provider and what is believed of its reports, and
`coverage` what all of it means for an order. `commands` and `events` are what happens to them, `deciding` how;
`by_card` is about those by gift card and store credit, `refunding` about what an order's payments give back together.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
