"""Turns a validated request into an accepted command and its outcome. Also receives uploads, and requests the jobs that
read them."""
