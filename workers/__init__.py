"""The actors: they take commands from the mailboxes, apply them to Postgres in batches, and tell the gateways.
Reactions and jobs, which follow from what was applied, live in folders of their own."""
