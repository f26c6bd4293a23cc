"""What a person does by hand: what they may do, and doing it while no episode runs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from gui_agent.actions import Action, TypeText, action_points, action_type_name
from gui_agent.demo.borrowed import BorrowedDevice
from gui_agent.demo.protocol import ProtocolError
from gui_agent.errors import DeviceError
from gui_agent.safety.device import SafeDevice
from gui_agent.safety.secrets import Secret, Secrets
from gui_agent.safety.verdict import Decision


class Hands:
    """The person's hands on the borrowed device.

    Attributes:
        busy: an action is being performed that belongs to no episode.
    """

    def __init__(
        self,
        borrowed: BorrowedDevice,
        secrets: Secrets,
        *,
        on_fault: Callable[[DeviceError], None],
    ) -> None:
        """Nothing is touched yet; what is typed in secret is added to `secrets`."""
        self.busy = False
        self._borrowed = borrowed
        self._secrets = secrets
        self._on_fault = on_fault
        self._numbers = count(1)

    async def permitted(self, device: SafeDevice, action: Action, *, secret: bool) -> Action:
        """The person's action, its secret put away, if no rule denies it and the agent has a word for it.

        Raises:
            ProtocolError: it is not to be done.
            ConfigError: a secret is too short.
        """
        if (name := action_type_name(type(action))) not in self._borrowed.actions:
            known = ", ".join(self._borrowed.actions)
            text = f"{name!r} is nothing that this device does and this agent can be told of; choose {known}"
            raise ProtocolError(text, code="bad_value")
        if secret and isinstance(action, TypeText):
            kept = Secret(name=f"TYPED_{next(self._numbers)}", value=action.text)
            self._secrets.add(kept)
            action = TypeText(text=kept.placeholder)
        try:
            async with self._borrowed.lock:
                verdict = await device.preview(action)
        except DeviceError as error:
            self._on_fault(error)
            raise ProtocolError(f"the device broke: {error}", code="not_now") from error
        if verdict.decision is Decision.DENY:
            raise ProtocolError(f"forbidden by {verdict.sentence}", code="forbidden")
        return action

    async def act(self, device: SafeDevice, action: Action, *, frame: int) -> None:
        """Perform a permitted action outside an episode, and look at what became of it.

        Raises:
            ProtocolError: it was not performed.
        """
        if action_points(action) and self._borrowed.feed.has_turned(frame):
            raise ProtocolError("the screen has turned since you pointed at it; point again", code="not_now")
        async with self._borrowed.lock:
            self.busy = True
            try:
                result = await device.execute(action)
            except DeviceError as error:
                self._on_fault(error)
                raise ProtocolError(f"the device broke: {error}", code="not_performed") from error
            finally:
                self.busy = False
            await self._borrowed.look(device)
        if result.executed is None:
            raise ProtocolError(f"not performed: {result.error}", code="not_performed")
