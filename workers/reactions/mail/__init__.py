"""E-mail to customers about their orders. `reaction` decides whom to write to and looks up the facts, `message` writes
the mail, `transport` puts it into a folder or hands it to an SMTP server.
"""
