"""The actors: they take commands from the mailboxes, apply them to Postgres in batches, and publish the results.
Reactions and jobs, which follow from what was applied, have folders of their own."""
