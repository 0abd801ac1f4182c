"""Authentication and authorization: tokens, keys, guests, passwords, and their revocation. `caller` is the result,
`requirements` what a route demands."""
