"""The proof: what the log says, folded, and compared with what the tables say.

What is here reads no database: it is given events in the order of the log, and rows.
"""
