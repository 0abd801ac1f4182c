"""Load tests with planted faults, each of which must fail for its fault and nothing else. They are Locust files, run by
tests/e2e/test_load.py.
"""
