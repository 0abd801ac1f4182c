"""The stored fold, made window by window: the next events of the log are read, folded onto what is stored, and stored.

`runtime/proof/stored.py` says how states are kept; what is done with what differs is left to `workers/patrol/`, and
`ops/verify/anew.py` folds what is archived.
"""
