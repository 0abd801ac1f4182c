"""The realtime side of the gateway: one tail of the log is distributed to topics in memory, and from there to sockets
and event streams, each through its own bounded send queue. A subscriber gets the log, as far as it may see it."""
