"""From a validated request to an accepted command and its outcome. Uploads, and the jobs that read them, also come in
here."""
