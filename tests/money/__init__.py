"""Checkouts against a payment provider at its most hostile, while processes and servers are killed in turn. What buyers
and staff do follows from a seed. At the end an auditor that shares no code with the application compares three books to
the penny: the provider's, ours, and what each buyer and clerk was told.
"""
