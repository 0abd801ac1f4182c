"""Reactions: what follows from what happened. Each goes through the log, event by event, from a position of its own
that lies in Postgres: e-mail, the expiry of holds, a webhook for every endpoint.

`core` says what a reaction is, `positions` how far each has come, `run` how one goes on from there, and `kicks` how it
is told that there is something to do. What they promise: every event is handled at least once, in order, by one run at
a time; whoever is stuck holds up nobody else.
"""
