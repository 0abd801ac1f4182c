"""Tasks: the machinery that runs what the outbox holds. `outbox` is how batches write it, `queue` how it is taken from,
`kinds` what a kind of task is written against, `performing` one run, `dispatcher` all runs of a process.

What each kind does is in `workers/performers`.
"""
