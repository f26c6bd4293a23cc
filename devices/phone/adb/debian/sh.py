"""The shell of a phone whose daemon is Debian's adbd; adbd runs it in the sandbox as /bin/sh -c LINE.

Hands the line and standard input to the virtual phone, and writes what that answers. Frames as in
devices/phone/adb/shell_v2.py; this file runs alone, without the packages of the project.
"""

import contextlib
import os
import socket
import struct
import sys
import threading

SOCKET = "/phone/shell"
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = 0, 1, 2, 3, 4
FRAME = struct.Struct("<BI")


def send_input(link: socket.socket) -> None:
    """Standard input to the phone, until it ends or the line has ended before."""
    with contextlib.suppress(OSError):
        while data := os.read(0, 1 << 16):
            link.sendall(FRAME.pack(STDIN, len(data)) + data)
        link.sendall(FRAME.pack(CLOSE_STDIN, 0))


def read_exactly(link: socket.socket, num_bytes: int) -> bytes:
    """So many bytes; fewer if the phone has gone."""
    data = b""
    while len(data) < num_bytes and (piece := link.recv(num_bytes - len(data))):
        data += piece
    return data


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main() -> None:
    """Run one line on the phone."""
    line = sys.argv[2] if sys.argv[1:2] == ["-c"] else "sh"
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(SOCKET)
        data = line.encode(errors="surrogateescape")
        link.sendall(struct.pack("<I", len(data)) + data)
        threading.Thread(target=send_input, args=(link,), daemon=True).start()
        while True:
            header = read_exactly(link, FRAME.size)
            kind, num_bytes = FRAME.unpack(header) if len(header) == FRAME.size else (EXIT, 0)
            data = read_exactly(link, num_bytes)
            if kind == EXIT:
                os._exit(data[0] if data else 255)  # a thread may still wait for standard input
            write_all(2 if kind == STDERR else 1, data)


if __name__ == "__main__":
    main()
