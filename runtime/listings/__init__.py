"""Listings: the one row shape in which a catalogue with its stock comes in and goes out, as CSV or JSON Lines.

`columns` names the columns and the formats, `records` cuts a stream of bytes into records that can be told by their
lines, `rows` reads one record. What a row does to the catalogue is the import's business, not ours.
"""
