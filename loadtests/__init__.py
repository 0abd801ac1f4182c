"""Load for a running system: the real order data, a replay of it, and Locust scenarios. `bench` measures, always
against a baseline in the same run."""
