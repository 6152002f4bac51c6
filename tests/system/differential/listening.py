"""A server in the test's own process, with a thread for each connection."""

import socket
import threading


class Listening:
    """Of every connection to an address `accepted(connection)` is told at once; `serve(connection, what that returned)` has
    a thread of its own."""

    def __init__(self, address, port, serve, accepted=lambda _connection: None):
        self._serve, self._accepted = serve, accepted
        self._listening = socket.create_server((address, port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            arguments = (connection, self._accepted(connection))
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()
