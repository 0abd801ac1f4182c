"""What the gateway, the workers and `ops` share: settings, Postgres, Redis mailboxes, the event log, the feed.
The commands that people run are in `ops`."""
