"""What programs that use a Tidegate import. It stands on nothing of the server's."""
