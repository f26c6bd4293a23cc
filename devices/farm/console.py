"""The emulator's console: a line of text there, lines back until OK or KO."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from gui_agent.errors import DeviceError, DeviceTimeoutError

_HOST: Final = "127.0.0.1"
_TOKEN_FILE: Final = ".emulator_console_auth_token"


class EmulatorConsole:
    """Sends commands to one emulator.

    Args:
        port: of the console.
        token_path: the file with the token that the console asks for; None takes the one in the home folder.
    """

    def __init__(self, port: int, *, token_path: Path | None = None) -> None:
        """Nothing is connected before the first command."""
        self.port = port
        self._token_path = token_path

    async def send(self, command: str, *, timeout_s: float = 10.0) -> str:
        """Send a command and return what was said before OK.

        Args:
            command: "kill", "avd snapshot load NAME", ….
            timeout_s: for everything.

        Raises:
            DeviceError: there is no console, it refuses the token, or it says KO.
            DeviceTimeoutError: it does not answer in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(command)
        except DeviceError:
            raise
        except TimeoutError as error:
            raise DeviceTimeoutError(self._message(command, f"no answer within {timeout_s:g} s")) from error
        except OSError as error:
            raise DeviceError(self._message(command, f"there is no console ({error})")) from error

    async def _exchange(self, command: str) -> str:
        reader, writer = await asyncio.open_connection(_HOST, self.port)
        try:
            greeting = await self._answer(reader, "the greeting")
            if "Authentication required" in greeting:
                writer.write(f"auth {self._token()}\n".encode())
                await self._answer(reader, "auth")
            writer.write(f"{command}\n".encode())
            if command == "kill":
                await reader.read()  # it says OK, or nothing more at all
                return ""
            return await self._answer(reader, command)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, command: str) -> str:
        lines: list[str] = []
        while line := (await reader.readline()).decode(errors="replace"):
            words = line.strip()
            if words == "OK" or words.startswith("OK:"):
                return "\n".join(lines)
            if words.startswith("KO"):
                raise DeviceError(self._message(command, words))
            lines.append(words)
        raise DeviceError(self._message(command, f"it hung up after {' '.join(lines)!r}"))

    def _token(self) -> str:
        path = self._token_path or Path.home() / _TOKEN_FILE
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise DeviceError(
                f"emulator-{self.port}: the console asks for the token in {path}, which cannot be read "
                f"({error.strerror}); the emulator writes it into the home folder of its user"
            ) from error

    def _message(self, command: str, came_back: str) -> str:
        return f"emulator-{self.port}: console command {command!r}: {came_back}"
