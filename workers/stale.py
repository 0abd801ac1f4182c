"""The failed optimistic check, wherever in writing a batch it is noticed."""


class StaleRead(Exception):
    """What the batch was decided on has changed since: decide again. `reason` is a label of BATCH_RETRIES."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
