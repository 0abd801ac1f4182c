"""`tidegate replay`: the real orders placed over HTTP against a running system, and the proof that all is well."""
