"""The sandbox: a provider of payments that moves no money, for development and tests; a process of its own, on this
machine only. `ledger` stores what it did, `bank` is what it does, `moods` how it misbehaves, `notices` are its
webhooks, `pages` is where buyers pay, and `api` what its client (`runtime/payments/sandbox.py`) calls.
"""
