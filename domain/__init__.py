"""The rules of the shop: commands, events, `decide` and `evolve`. Pure code that imports no other package of ours.

Importing the package imports every module in it, so that `model.COMMANDS` and `model.EVENTS` are complete: a new entity
is a new file, with no list to maintain.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
