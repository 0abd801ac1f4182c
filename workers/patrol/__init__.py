"""The patrol: verifies for ever, behind the tail of the log.

Round after round, the next events are folded onto the stored fold, and the rows they touch are compared with it. A row
that somebody else than a batch has written is found by its trigger (see `runtime/tables/suspects.py`), and compared as
well. What differs raises the alarm.
"""
