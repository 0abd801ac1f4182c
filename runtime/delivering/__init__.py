"""Providers of live delivery rates, behind one interface that tasks use. `provider` is the interface, `registry` knows
all of them by name, and each of the others is one. Without one, live methods cannot be had.
"""
