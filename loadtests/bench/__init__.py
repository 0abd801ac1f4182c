"""The benchmarks: Tidegate against baselines on the same machine, measured in one run.
A file is a section or a baseline; `targets` says what must come out."""
