"""Providers of live delivery rates, behind one interface that tasks use. `provider` is the interface, `registry` knows
all providers by name; the other modules are the providers. Without one, live methods are not available.
"""
