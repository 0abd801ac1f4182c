"""What commands show on a terminal: progress, several processes' output, differences, the live board, and failures as
one line. What is shown is somebody else's to find out."""
