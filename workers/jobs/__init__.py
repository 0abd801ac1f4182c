"""Jobs: long work in the background, one file per kind. `kinds.py` is the interface that a kind of job uses, `store.py`
is what jobs keep in Postgres; each job is run as a task, see `workers/performers/jobs.py`. Importing the package
imports every module in it: a new kind is a new file, with no list to maintain.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
