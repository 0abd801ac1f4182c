"""Rate limits: token buckets that all gateways share, and the headers that tell clients about them. The subject of a
bucket is a principal, a network address, or whatever else a caller of `buckets` names."""
