"""The proof: folds the log and compares the result with the tables.

Nothing in this package reads a database: it is given events in the order of the log, and rows.
"""
