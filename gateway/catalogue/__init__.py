"""The catalogue's API: request bodies, queries, and pages kept ready. The search for products is here too, because the
query and its cursors belong together."""
