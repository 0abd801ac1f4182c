"""The realtime side of the gateway: one tail of the log is distributed to topics in memory, and from there to sockets
and event streams, each through its own bounded send queue. Subscribers get the part of the log that they may see."""
