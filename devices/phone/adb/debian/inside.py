"""Runs in the sandbox: starts adbd, and leads its port out of the sandbox's network by a socket in a folder.

Takes the path of adbd. This file runs alone, without the packages of the project.
"""

import asyncio
import contextlib
import os
import sys

PORT = 5555
SOCKET = "/phone/adbd"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from one side to the other."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    writer.close()


async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A link from outside: one to adbd for it."""
    try:
        from_adbd, to_adbd = await asyncio.open_connection("127.0.0.1", PORT)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, to_adbd), copy(from_adbd, writer))


async def main(adbd: str) -> int:
    """Ends with adbd."""
    process = await asyncio.create_subprocess_exec(adbd, env={**os.environ, "ADBD_PORT": str(PORT)})
    while process.returncode is None:
        with contextlib.suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection("127.0.0.1", PORT)
            writer.close()
            break
        await asyncio.sleep(0.01)
    async with await asyncio.start_unix_server(connected, SOCKET, limit=1 << 20):
        return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
