"""Terminal output of commands: progress, the output of several processes, differences, the live board, and one-line
failures. Where the data comes from is up to the commands."""
