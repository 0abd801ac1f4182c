"""The catalogue at the door: what may be said of it, what may be asked of it, and the pages that are kept ready.
How products are found is here too, because the question and its cursors belong together."""
