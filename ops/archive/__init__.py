"""The archive: old partitions of the log as files. The log in the database begins where the archive ends.

A partition is a compressed JSON Lines file, with a manifest next to it that describes its content and has its checksum.
The manifest is written last: a file without one does not count as archived.
"""
