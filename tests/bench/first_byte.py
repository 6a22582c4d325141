"""From the spawn of a program to the first byte of what listens in the container that it starts."""

import socket
import subprocess
import time

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def ask(address, port, timeout):
    with socket.create_connection((address, port), timeout=timeout) as s:
        s.sendall(REQUEST)
        return s.recv(1)


def first_byte(command, address, port, seconds=30, **how):
    """(process, ms)."""
    began = time.monotonic()
    process = subprocess.Popen(command, **how)
    while time.monotonic() - began < seconds:
        try:
            # a packet that the link was not up for is not waited for
            if ask(address, port, 0.05):
                return process, (time.monotonic() - began) * 1000
        except OSError:
            time.sleep(0.0005)
        if process.poll():
            raise AssertionError(f"{command[0]} failed: {process.communicate()[1]}")
    process.kill()
    raise AssertionError(f"{command[0]}: nothing listens after {seconds} s")
