"""E-mail to customers about their orders. `reaction` decides who is written to and looks up what about, `message`
writes it, `transport` puts it into a folder or hands it to an SMTP server.
"""
