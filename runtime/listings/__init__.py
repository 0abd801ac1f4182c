"""Listings: the row format in which a catalogue with its stock is imported and exported, as CSV or JSON Lines.

`columns` names the columns and formats, `records` splits a stream of bytes into records with line numbers, and `rows`
parses one record. Applying a row to the catalogue is left to the import.
"""
