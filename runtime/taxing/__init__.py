"""Providers of taxes, behind one interface that tasks use. `provider` is the interface, `registry` knows all of them by
name, and each of the others is one. Without one, the rates in the shop's terms are charged.
"""
