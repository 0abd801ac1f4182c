"""That a batch cannot be written as it was decided: whoever finds it says so by this, whatever it was."""


class StaleRead(Exception):
    """What the batch was decided on has changed since: look again, alone. `reason` is a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
