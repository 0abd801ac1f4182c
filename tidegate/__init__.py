"""The client package, for programs that use a Tidegate. It depends on nothing of the server's."""
