"""Chaos: a whole system, with its real processes and servers, is broken in an order that a seed decides, while
shoppers, staff and subscribers use it. At the end an auditor that shares no code with the application compares what
each of them was told with the log, and `verify` compares the log with every table.
"""
