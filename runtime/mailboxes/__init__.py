"""Mailboxes: Redis streams that keep accepted commands, in order, until a worker has applied them.

`post` is the gateway's side, `inbox` the worker's; `redis_keys` is what the two share.
"""
