"""How a call to an external service can fail."""


class Refused(Exception):
    """The service rejects the request: it is malformed, or we may not make it. Retrying is pointless."""


class OutcomeUnknown(Exception):
    """There was no answer, or none that makes sense: the request may have been carried out or not. It has to be
    retried."""
