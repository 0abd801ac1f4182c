"""What a basket costs, and why. `quoting.quote` is a pure function: from a basket, the offers of its SKUs, the shop's
terms and a moment, it makes a quote in whole minor units, with the reason for each amount. docs/money.md describes the
order of the computation, with an example.

The input is a `basket` and the shop's `terms`; the output is `quoted`. In between, the parts are on a `worksheet`:
`pricing` puts them there, `promoting` reduces them, `taxing` taxes them, and `paying` applies cards. `rules` and
`actions` are what promotions consist of: adding a kind is a file and a line.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
