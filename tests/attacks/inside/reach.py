"""Connects to each target ("HOST PORT PROTOCOL") and prints how that ended, one JSON line each."""
import errno, json, socket, sys
from concurrent.futures import ThreadPoolExecutor


def reach(target):
    host, port, protocol = target.split()
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    try:
        family, _, _, _, address = socket.getaddrinfo(host, int(port), type=kind)[0]
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            s.connect(address)
            if protocol == "udp":
                s.send(b"ask")
            return "success" if s.recv(4) == b"here" else "another answer"
    except TimeoutError:
        return "no answer"
    except socket.gaierror as error:
        return str(error)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


with ThreadPoolExecutor(16) as pool:
    for target, outcome in zip(sys.argv[1:], pool.map(reach, sys.argv[1:])):
        print(json.dumps({"target": target, "outcome": outcome}))
