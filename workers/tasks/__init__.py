"""Tasks: the machinery that runs what is in the outbox. `outbox` writes to it, `queue` takes from it, `kinds` is the
interface of a kind of task, `performing` is one run, and `dispatcher` all runs of a process.

What each kind does is in `workers/performers`.
"""
