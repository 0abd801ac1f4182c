"""The rules of the shop: commands, events, `decide` and `evolve`. Pure, and imports no other package of ours."""
