"""Reactions: what follows from events, such as e-mail, the expiry of holds, and webhooks. Each reads the log event by
event from its own position in Postgres. `core` says what a reaction is, `positions` how far each has come, `run` how
one continues from there, and `supervisor` when each is run. They promise that every event is handled at least once, in
order, by one run at a time, and that a stuck reaction does not hold up any other.
"""
