#!/usr/bin/env python3
"""Stands in for every agent until there are containers: what an agent's HTTP, WebSocket and event streams look like through the edge.

    echo_upstream.py [--listen 127.0.0.1:0]      prints "listening ADDRESS:PORT"

Every request is answered with what arrived, as JSON: method, target, headers (a list of pairs, as they were sent), body. Besides:
    Upgrade: websocket      echoes every message; text "headers" is answered with the request's headers
    /sse?count=N&every=S    N events, one each S seconds (default: for ever, each 0.05 s)
    /bytes?n=N              N bytes
    /status?code=C          an answer of that status
    /text?t=...             this text and nothing else
    /respond?h=Name:%20v    an answer with these headers (h may be repeated): what a hostile agent would try
    /slow?s=S               answers after S seconds
    /drop                   closes the connection without an answer
"""

import argparse
import asyncio
import base64
import hashlib
import json
import signal
import sys
import urllib.parse

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HEAD_MAX = 256 * 1024


class Request:
    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        path, _, query = target.partition("?")
        self.path, self.query = path, urllib.parse.parse_qs(query)

    def header(self, name):
        found = [v for k, v in self.headers if k.lower() == name.lower()]
        return found[0] if found else ""

    def argument(self, name, default):
        return type(default)(self.query.get(name, [default])[0])

    def as_json(self, body=b""):
        return json.dumps({"method": self.method, "target": self.target, "headers": self.headers,
                           "body": body.decode("latin-1"), "length": len(body)}).encode()


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ", 2)
    return Request(method, target, [[k, v.strip()] for k, _, v in (line.partition(":") for line in lines)])


async def read_body(request, reader):
    if request.header("Transfer-Encoding").lower() == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    return await reader.readexactly(int(request.header("Content-Length") or 0))


async def answer(writer, status, body, headers=(), content_type="application/json"):
    lines = [f"HTTP/1.1 {status} Answer", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{k}: {v}" for k, v in headers]
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    await writer.drain()


async def events(request, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    count, every, n = request.argument("count", 0), request.argument("every", 0.05), 0
    while count == 0 or n < count:
        n += 1
        writer.write(f"event: tick\ndata: {n}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(every)


async def many_bytes(request, writer):
    left = request.argument("n", 0)
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n".encode())
    block = b"x" * 65536
    while left > 0:
        writer.write(block[:left])
        left -= min(left, len(block))
        await writer.drain()


def frame(opcode, payload):
    size = len(payload)
    if size < 126:
        return bytes([0x80 | opcode, size]) + payload
    if size < 65536:
        return bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big") + payload
    return bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big") + payload


async def read_frame(reader):
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4) if second & 0x80 else bytes(4)
    payload = await reader.readexactly(size)
    return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


async def websocket(request, reader, writer):
    accept = base64.b64encode(hashlib.sha1((request.header("Sec-WebSocket-Key") + GUID).encode()).digest()).decode()
    writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while True:
        opcode, payload = await read_frame(reader)
        if opcode == 8:
            writer.write(frame(8, payload))
            return
        if opcode == 9:
            writer.write(frame(10, payload))
        elif payload == b"headers":
            writer.write(frame(1, request.as_json()))
        elif opcode != 10:
            writer.write(frame(opcode, payload))
        await writer.drain()


async def respond(request, reader, writer):
    if request.header("Upgrade").lower() == "websocket":
        return await websocket(request, reader, writer)
    if request.path == "/drop":
        return None
    if request.path == "/sse":
        return await events(request, writer)
    if request.path == "/bytes":
        return await many_bytes(request, writer)
    body = request.as_json(await read_body(request, reader))
    if request.path == "/slow":
        await asyncio.sleep(request.argument("s", 1.0))
    extra = [line.partition(": ")[::2] for line in request.query.get("h", [])] if request.path == "/respond" else []
    if request.path == "/text":
        body = request.argument("t", "").encode()
    status = request.argument("code", 200) if request.path == "/status" else 200
    return await answer(writer, status, b"" if request.method == "HEAD" else body, extra)


async def serve_one(reader, writer):
    try:
        await respond(await read_request(reader), reader, writer)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--listen", default="127.0.0.1:0")
    host, _, port = options.parse_args().listen.rpartition(":")
    server = await asyncio.start_server(serve_one, host.strip("[]"), int(port), limit=HEAD_MAX, backlog=1024)
    address, number = server.sockets[0].getsockname()[:2]
    print(f"listening {address}:{number}", flush=True)
    stop = asyncio.get_running_loop().create_future()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, lambda: stop.done() or stop.set_result(None))
    await stop


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
