"""The actors: they drain mailboxes, apply commands to Postgres in batches, and tell the gateways."""
