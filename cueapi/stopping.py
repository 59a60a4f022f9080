"""A web process that is asked to stop sends home who waits in it, so that nobody keeps it from stopping.

The server's own handler of the signal tells no one, and its main thread is not in Python; the bytes that Python writes
for each signal are read here by a thread.
"""

import signal
import socket
import threading

from cueapi import wakeups

STOPS = frozenset({signal.SIGTERM, signal.SIGINT})


def release_when_asked() -> None:
    """Watch from now on. Only the main thread of a process may ask for it; elsewhere nothing happens."""
    if threading.current_thread() is not threading.main_thread():
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, writer), name="stopping", daemon=True).start()


def _watch(reader: socket.socket, writer: socket.socket) -> None:
    """Holds the writer too: without a reference to it, it would be closed."""
    while number := reader.recv(1):
        if number[0] in STOPS:
            wakeups.release_here()
