"""The patrol: verifies the tables continuously, following the tail of the log.

In each round, the next events are applied to the stored fold, and the rows they touch are compared with it. A trigger
notes every row that is written by anything but a batch (see `runtime/tables/suspects.py`); these are compared, too. A
difference raises an alarm.
"""
