"""Load: the real order data, a replay of it, Locust scenarios, and the benchmarks with their baselines."""
