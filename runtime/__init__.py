"""What the gateway, the workers and `ops` stand on: settings, Postgres, Redis mailboxes, the event log, the feed.
What people run is in `ops`."""
