"""Providers of payments, behind one interface that the gateway and the workers share. `provider` is the interface,
`registry` knows all of them by name, and each of the others is one.
"""
