"""The framework of all scenarios: when arrivals are due, who shops, what is counted, what is watched, and the verdict
at the end. It uses only the public API of a system, so it can run on any machine.
"""
