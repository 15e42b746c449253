"""What the agent and the kernel say to each other, and how it is put into frames.

One AF_UNIX stream socket. Each frame is its length in bytes (4 bytes, big-endian, at most
`FRAME_LIMIT`) and then that many bytes of UTF-8: one JSON object with a `type`. Every JSON reader
takes the frames: no NaN, no lone surrogates, no integers beyond 64 bits, nesting below 128.

The kernel's first frame is `ready`. Then the agent sends requests, and the kernel handles them one
after the other, in their order:

    {"type": "execute", "id": ID, "code": TEXT, "env": {NAME: VALUE}, "silent": BOOL}
    {"type": "set_env", "id": ID, "env": {NAME: VALUE or null}}
    {"type": "cd",      "id": ID, "path": TEXT}

`id` is a string of the agent's choice. `env` of execute holds for that cell only, `set_env` from
then on (null takes a variable away). `silent` cells do not count and show no value; `env` and
`silent` may be left out. Whatever the kernel says of a request carries its `id`:

    {"type": "count",  "id": ID, "execution_count": N}      first, unless the cell is silent
    {"type": "stdout", "id": ID or null, "text": TEXT}      null: written while no cell ran
    {"type": "stderr", "id": ID or null, "text": TEXT}
    {"type": "result", "id": ID or null, "is_main_result": BOOL, "data": {MIME: VALUE}}
    {"type": "error",  "id": ID or null, "name": TEXT, "value": TEXT, "traceback": TEXT}
    {"type": "end",    "id": ID, "status": "ok" or "error"}

Every request is answered by exactly one `end`, its last frame, and by at most one `error` before
it. A binary VALUE is text in base64. An error with a null id speaks of a frame that was no request.

SIGINT interrupts the cell that runs; without one it does nothing. An agent that interrupts waits
for that cell's `end` before it sends the next, so the signal cannot meet the wrong cell. Closing
the socket ends the kernel: at once if a cell runs, else as a Python program ends.
"""

import json
import struct

VERSION = 1
"""Of this protocol; told in `ready`. Raised when an older agent would misread the kernel."""

FRAME_LIMIT = 32 * 1024 * 1024
"""Bytes of JSON in one frame, either way. Holds a large plot or page; bounds what the other side
must keep in memory."""

PIECE_LIMIT = 64 * 1024
"""Characters of output in one stdout or stderr frame."""

WAITING_LIMIT = 64
"""Requests that may wait for the one that runs; those beyond are answered with an error."""

_written = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""Made once: json.dumps makes one each time."""

HEADER = struct.Struct(">I")

_TYPES = {
    "execute": {"code": str},
    "set_env": {"env": dict},
    "cd": {"path": str},
}


class FrameTooLarge(Exception):
    """A frame has more bytes than `FRAME_LIMIT`."""

    def __init__(self, size):
        super().__init__(f"a frame of {size} bytes is larger than {FRAME_LIMIT} bytes")
        self.size = size


class BadRequest(Exception):
    """A frame arrived whole, but is not a request. Carries the id to answer to, if it has one."""

    def __init__(self, text, id=None):
        super().__init__(text)
        self.id = id


def sound(text):
    """`text` without lone surrogates: pairs become their character, others U+FFFD."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encode(message):
    """The bytes of one frame. Raises `FrameTooLarge`, and ValueError for what JSON cannot say."""
    text = _written(message)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        body = sound(text).encode()
    if len(body) > FRAME_LIMIT:
        raise FrameTooLarge(len(body))
    return HEADER.pack(len(body)) + body


class Request:
    """One thing the agent asks, and how far it came."""

    def __init__(self, message):
        self.type = message["type"]
        self.id = message["id"]
        self.message = message
        self.started = False
        self.done = False
        self.status = "ok"


def _checked(message):
    if not isinstance(message, dict):
        raise BadRequest("a request must be a JSON object")
    id = message.get("id")
    if not isinstance(id, str):
        raise BadRequest("a request must have an id that is a string")
    kind = message.get("type")
    fields = _TYPES.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise BadRequest(f"unknown type of request {kind!r:.100}; known are {', '.join(sorted(_TYPES))}", id)
    for name, kind in fields.items():
        if not isinstance(message.get(name), kind):
            raise BadRequest(f"{message['type']} needs {name!r} of type {kind.__name__}", id)
    if not isinstance(message.get("env"), (dict, type(None))):
        raise BadRequest("'env' must be an object", id)
    return Request(message)


class Reader:
    """Makes requests of the bytes that arrive."""

    def __init__(self):
        self._bytes = bytearray()

    def feed(self, data):
        """Takes `data` and gives what is complete: `Request`s, and `BadRequest`s as values.

        Raises `FrameTooLarge`; what follows such a length cannot be understood any more.
        """
        self._bytes += data
        complete = []
        while len(self._bytes) >= HEADER.size:
            (size,) = HEADER.unpack_from(self._bytes)
            if size > FRAME_LIMIT:
                raise FrameTooLarge(size)
            end = HEADER.size + size
            if len(self._bytes) < end:
                break
            body = bytes(self._bytes[HEADER.size:end])
            del self._bytes[:end]
            complete.append(self._request(body))
        return complete

    @staticmethod
    def _request(body):
        try:
            return _checked(json.loads(body))
        except BadRequest as error:
            return error
        except (ValueError, RecursionError) as error:
            return BadRequest(f"a request must be JSON: {error}")
