"""The realtime side of the gateway: one tail of the log, handed to topics in memory, and from there to sockets and
event streams, each through a bounded send queue of its own. A subscriber gets the log, as far as it may see it."""
