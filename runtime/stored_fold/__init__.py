"""The stored fold, advanced window by window: the next events of the log are read, folded onto the stored states, and
the result is stored.

`runtime/proof/stored.py` defines how states are encoded; `workers/patrol/` handles differences, and
`ops/verify/anew.py` folds archived events.
"""
