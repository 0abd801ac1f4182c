"""The sandbox: a payment provider that moves no money, for development and tests; a separate process, on this machine
only. `ledger` stores what it did, `bank` has its rules, `moods` its misbehaviours, `notices` its webhooks, `pages` the
pages where buyers pay, and `api` is what its client (`runtime/payments/sandbox.py`) calls.
"""
