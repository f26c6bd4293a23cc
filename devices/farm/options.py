"""How patient a farm is."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gui_agent.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmOptions:
    """Deadlines and back-off of a farm; all times in seconds, all positive.

    The deadlines of calls stand behind those of the driver, which are shorter and say more: they catch what
    hangs all the same.

    Attributes:
        reset_timeout_s: start of a task, with the start of a browser where there is none yet.
        observe_timeout_s: one look.
        execute_timeout_s: one action, with its own duration.
        check_timeout_s: one judgement, one question to an expert, one snapshot.
        probe_timeout_s: an answer to the question whether a device is there.
        lease_timeout_s: making a device ready to be lent, or giving it back.
        reconnect_timeout_s: taking up a lost connection.
        restart_timeout_s: starting a device anew.
        free_faults: so many faults in a row cost no quarantine if the device answers.
        backoff_first_s: first quarantine.
        backoff_factor: each further one is so many times longer, 1 or more.
        backoff_max_s: longest quarantine.
        max_failures: faults and vain recoveries in a row after which a device is given up; an episode without
            a fault begins the count anew.
        rescan_s: how often sources look for devices that are new or came back.
        status_interval_s: how often farm.json is written.

    Raises:
        ConfigError: a number is out of range.
    """

    reset_timeout_s: float = 180.0
    observe_timeout_s: float = 60.0
    execute_timeout_s: float = 90.0
    check_timeout_s: float = 60.0
    probe_timeout_s: float = 10.0
    lease_timeout_s: float = 60.0
    reconnect_timeout_s: float = 30.0
    restart_timeout_s: float = 300.0
    free_faults: int = 2
    backoff_first_s: float = 1.0
    backoff_factor: float = 2.0
    backoff_max_s: float = 60.0
    max_failures: int = 12
    rescan_s: float = 10.0
    status_interval_s: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_s") and not value > 0:
                raise ConfigError(f"{field.name} is {value}; expected a positive number of seconds")
        if self.free_faults < 0 or self.max_failures < 1 or self.backoff_factor < 1:
            raise ConfigError(
                f"free_faults={self.free_faults}, max_failures={self.max_failures}, "
                f"backoff_factor={self.backoff_factor}: expected 0, 1 and 1 or more"
            )

    def quarantine_s(self, failures: int) -> float:
        """How long a device rests before the next try.

        Args:
            failures: faults and vain recoveries in a row.

        Returns:
            0 for the first `free_faults`, then `backoff_first_s` times a power of `backoff_factor`, at most
            `backoff_max_s`.
        """
        paid = failures - self.free_faults
        if paid <= 0:
            return 0.0
        # The power is bounded first: a farm that runs for weeks must not overflow.
        return min(self.backoff_max_s, self.backoff_first_s * self.backoff_factor ** min(paid - 1, 64))
