"""Who is asking, and what they may do: tokens, keys, guests, passwords, and how all of these end. `caller` is the
answer, `requirements` what a route asks for."""
