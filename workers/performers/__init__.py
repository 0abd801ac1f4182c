"""What each kind of task does, one file a kind.

Importing the package imports every module in it: a new kind is a new file and no list to keep.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
