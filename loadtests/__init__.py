"""Load for a running system: the real order data, a replay of it, and Locust scenarios. `bench` measures, each time
beside a baseline of the same run."""
