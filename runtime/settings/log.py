"""The log's life."""

from pydantic import Field

from runtime.settings.section import Section


class Log(Section):
    """The log's life."""

    log_partition_max_events: int = Field(
        5_000_000,
        description="Events of one partition of the log, and so of one file of its archive. Partitions that are there"
        " keep their size.",
        ge=1_000,
        le=1_000_000_000,
    )
    command_partition_days: int = Field(
        7,
        description="Days of one partition of the records of commands. Partitions that are there keep their size.",
        ge=1,
        le=366,
    )
    log_archive_after_days: float = Field(
        0.0,
        description="Days after which events are to be archived: the default of `tidegate archive --older-than`, and "
        "an alert fires when it has not been done. 0: never.",
        ge=0,
    )
