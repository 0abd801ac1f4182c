"""What people run: the CLI, embedded servers, the processes of a whole system, and the proof. Neither the gateway nor
the workers know of it."""
