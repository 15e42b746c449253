"""What a neighbour has that others may be after; tells when all of it is there."""
import ctypes, fcntl, os, socket, sys, threading, time

SECRET = sys.argv[1].encode()
open("/home/user/mine", "wb").write(SECRET)
open("/tmp/mine", "wb").write(SECRET)
open("/dev/shm/mine", "wb").write(SECRET)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.shmget(0x5B0, 4096, 0o1666) >= 0
assert libc.msgget(0x5B1, 0o1666) >= 0
assert libc.mq_open(b"/mine", os.O_CREAT | os.O_RDWR, 0o666, None) >= 0


def serve(listener):
    while True:
        peer, _ = listener.accept()
        peer.sendall(SECRET)
        peer.close()


for family, address in [
    (socket.AF_INET, ("0.0.0.0", 7777)),
    (socket.AF_UNIX, "\0neighbour"),
    (socket.AF_UNIX, "/tmp/mine.sock"),
]:
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()
    threading.Thread(target=serve, args=[listener], daemon=True).start()
print("ready", flush=True)
time.sleep(86400)
