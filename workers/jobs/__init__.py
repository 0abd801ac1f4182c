"""Jobs: long work in the background, one file a kind. `kinds.py` is what a kind of job is written against, `store.py`
what jobs keep in Postgres; each is run as a task, see `workers/performers/jobs.py`.

Importing the package imports every module in it: a new kind is a new file and no list to keep.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
