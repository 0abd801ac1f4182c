"""Other shops, beside which `make bench-peers` measures Tidegate: the same people do the same things, in one run.

Vendure lives here. `vendure/` is what we wrote for its Node; everything of its own is installed from the npm registry
when it is measured, into `build/`, and runs as processes of its own. No part of Tidegate needs it.
"""
