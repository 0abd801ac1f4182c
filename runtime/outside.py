"""How a call to a service outside ends, if not with an answer."""


class Refused(Exception):
    """The service does not take the request: it is malformed, or not ours to make. Asking again changes nothing."""


class OutcomeUnknown(Exception):
    """Nobody answered, or nothing that makes sense: it may be done or not. It has to be asked for again."""
