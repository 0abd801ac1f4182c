"""What the code of earlier releases says to Postgres, recorded on the wire and said again to today's tables. So a
migration is tried beside the code before it, which is not here any more."""
