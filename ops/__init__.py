"""What people run: the CLI, embedded servers, the processes of a whole system, and `verify`. Neither the gateway nor
the workers import it."""
