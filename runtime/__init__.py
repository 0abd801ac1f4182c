"""What the gateway, the workers and `ops` have in common: settings, Postgres, Redis mailboxes, the event log, the feed.
What people run is in `ops`."""
