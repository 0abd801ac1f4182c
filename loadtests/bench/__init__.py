"""The benchmarks: what Tidegate does with a machine, beside what else could be done with it, measured in one run.
A file is a section or a baseline; `targets` says what must come out."""
