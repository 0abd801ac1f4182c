"""From a checked request to an accepted command and its outcome. Files that are sent along, and the jobs that read
them, come in here as well."""
