"""What gateway and workers stand on: settings, Postgres, Redis mailboxes, the event log, the feed, and the CLI."""
