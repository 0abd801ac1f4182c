"""The performers of tasks, one file per kind. Importing the package imports every module in it: a new kind is a new
file, with no list to maintain.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
