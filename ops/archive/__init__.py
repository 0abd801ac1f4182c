"""The archive: partitions of the log as files, from before where the log in the database begins.

A partition is a file of JSON Lines, compressed, and beside it a manifest that says what is in it and what its checksum
is. The manifest is written last: without it, there is no archive of that partition.
"""
