"""Host names below `localhost`, which not every machine's resolver knows."""

import socket

lookup = socket.getaddrinfo


def local(host, *rest, **more):
    """What a resolver may do: names below `localhost` are this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    return lookup("127.0.0.1" if (name or "").endswith(".localhost") else host, *rest, **more)


socket.getaddrinfo = local
