"""Payment providers, behind one interface that the gateway and the workers share. `provider` is the interface,
`registry` knows all providers by name; the other modules are the providers.
"""
