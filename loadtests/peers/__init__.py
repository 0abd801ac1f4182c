"""Other shops with which `make bench-peers` compares Tidegate: the same shoppers do the same things, in one run.

The only one is Vendure. `vendure/` is what we wrote for it; Vendure itself is installed from the npm registry into
`build/` when it is measured, and runs as separate processes. No part of Tidegate depends on it.
"""
