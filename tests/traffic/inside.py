"""What listens inside the sandbox: a server for the tests, whose answers show what reached it.

Arguments: none. It prints its port on one line when it listens. Every request may name what it wants:

/echo     the body, as it comes, in pieces
/seen     the head of the request, as JSON
/count    how many requests came over this connection, and over how many connections requests came
/flood    zeros for ever, until nobody takes them
/open     a body that only the end of the connection ends; the query says after how many seconds
/drip     one line at once, and another one when anybody asks for /drop
/drop     see /drip
/hangup   no answer; further ones are no good either, see ODD
/ws       a WebSocket that sends back what it gets
"""
import asyncio, base64, hashlib, json, sys

ODD = {
    "/hangup": b"",
    "/garbage": b"nonsense\r\n\r\n",
    "/huge": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    "/many": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "/switch": b"HTTP/1.1 101 No\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "/half": b"HTTP/1.1 200 OK\r\nContent-Le",
}

connections = 0
dropped = asyncio.Event()


async def head_of(reader):
    text = await reader.readuntil(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        if line:
            name, value = line.split(":", 1)
            headers.setdefault(name.lower(), []).append(value.strip())
    return method, target, headers


async def pieces_of(reader, headers):
    if "chunked" in headers.get("transfer-encoding", []):
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            piece = await reader.readexactly(size + 2)
            if size == 0:
                return
            yield piece[:-2]
    left = int(headers.get("content-length", ["0"])[0])
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise ConnectionError("the body broke off")
        left -= len(piece)
        yield piece


def plain(writer, body, kind="application/json"):
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-From: inside\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def begin(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\n\r\n")


def chunk(writer, piece):
    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))


async def socket(reader, writer, headers):
    key = headers["sec-websocket-key"][0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    # Something before anybody asked, right behind the head.
    writer.write(b"\x81\x05hello")
    while True:
        first, second = await reader.readexactly(2)
        length = second & 127
        if length == 126:
            length = int.from_bytes(await reader.readexactly(2), "big")
        elif length == 127:
            length = int.from_bytes(await reader.readexactly(8), "big")
        mask = await reader.readexactly(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(await reader.readexactly(length)))
        if first & 15 == 8:
            writer.write(b"\x88" + bytes([len(data)]) + data)
            return
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        writer.write(bytes([first]) + size + data)
        await writer.drain()


async def answer(reader, writer, number):
    method, target, headers = await head_of(reader)
    path, _, query = target.partition("?")
    if path == "/ws":
        await socket(reader, writer, headers)
        return False
    if path == "/echo":
        begin(writer)
        async for piece in pieces_of(reader, headers):
            chunk(writer, piece)
            await writer.drain()
        chunk(writer, b"")
    elif path == "/seen":
        async for _ in pieces_of(reader, headers):
            pass
        plain(writer, json.dumps({"method": method, "target": target, "headers": headers}).encode())
    elif path == "/count":
        plain(writer, json.dumps({"request": number, "connections": connections}).encode())
    elif path == "/flood":
        begin(writer)
        try:
            while True:
                chunk(writer, bytes(65536))
                await writer.drain()
        except ConnectionError:
            dropped.set()
            raise
    elif path == "/open":
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nbegun")
        await writer.drain()
        await asyncio.sleep(float(query))
        return False
    elif path == "/drip":
        begin(writer)
        chunk(writer, b"one\n")
        await writer.drain()
        await dropped.wait()
        chunk(writer, b"two\n")
        chunk(writer, b"")
    elif path == "/drop":
        dropped.set()
        plain(writer, b"{}")
    elif path == "/dropped":
        await dropped.wait()
        plain(writer, b"{}")
    elif path in ODD:
        writer.write(ODD[path])
        await writer.drain()
        return False
    await writer.drain()
    return True


async def serve(reader, writer):
    global connections
    connections += 1
    number = 1
    try:
        while await answer(reader, writer, number):
            number += 1
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
