"""`tidegate replay`: the real orders placed over HTTP against a running system, and the proof that all is well.
`client` places them, `shop` has what they buy, and `report` tells how it went."""
