"""Tax providers, behind one interface that tasks use. `provider` is the interface, `registry` knows all providers by
name; the other modules are the providers. Without one, the rates in the shop's terms are charged.
"""
