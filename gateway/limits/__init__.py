"""How often somebody may ask: token buckets that all gateways share, and what clients are told about them. What counts
as one asker is a principal, a network address, or whatever else a caller of `buckets` names."""
