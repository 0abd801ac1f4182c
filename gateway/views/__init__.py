"""Views: what the API shows, read from Postgres. A view never writes, and never locks."""
