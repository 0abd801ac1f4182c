"""Load tests with verdicts, a Locust file each: `locust -f loadtests/scenarios/NAME.py` or `make load SCENARIO=NAME`.

A file says who its people are (Locust users), what the shop looks like before, and what must hold: thresholds, each
with its reason, and checks of the outcome. See docs/load-testing.md.
"""
