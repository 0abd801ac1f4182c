"""What a basket costs, and why. `quoting.quote` is pure: of a basket, the offers of what is in it, the shop's terms and
a moment it makes a quote, in whole minor units, with the reason for each. docs/money.md has the order of computing, and
an example.

What goes in is a `basket`, and the `terms` of the shop; what comes out is `quoted`. In between, parts lie on a
`worksheet`: `pricing` puts them there, `promoting` reduces them, `taxing` taxes them, and `paying` lets cards pay.
`rules` and `actions` are the kinds of promotions: adding one is a file and a line.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
