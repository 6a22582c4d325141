"""A whole internet that ends at this test: the process and what it starts move into a network namespace of their own, beside which a "world" has public addresses.

Needs root. Nothing leaves the machine, and none of the machine's own network is touched.
"""

import contextlib
import ctypes
import os
import subprocess
import sys

NEWNET = 0x40000000
WORLD = """
import http.server, os, signal, socket, struct, sys, threading
names, webs, resolver = eval(sys.argv[1]), eval(sys.argv[2]), sys.argv[3]

def serve_names():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((resolver, 53))
    while True:
        data, who = s.recvfrom(2048)
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        found = names.get(".".join(labels), [])
        answers = b"".join(b"\\xc0\\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(a) for a in found)
        s.sendto(data[:2] + struct.pack(">HHHHH", 0x8180 if found else 0x8183, 1, len(found), 0, 0) + data[12:at + 5] + answers, who)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.server_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

for address in webs:
    threading.Thread(target=http.server.ThreadingHTTPServer((address, 80), Page).serve_forever, daemon=True).start()
threading.Thread(target=serve_names, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def sh(command):
    subprocess.run(["sh", "-ec", command], check=True)


@contextlib.contextmanager
def private_network(names, webs, resolver="9.9.9.9", own="5.5.5.1"):
    """names: name -> addresses, as the world's resolver says them. webs: addresses at which a page says the address. own: this host's end of its uplink."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    check(libc.unshare(NEWNET))
    world = None
    try:
        inside = [sys.executable, "-c", WORLD, repr(names), repr(sorted(webs)), resolver]
        addresses = " ".join(sorted({resolver, *webs}))
        world = subprocess.Popen(["unshare", "--net", "sh", "-ec", 'echo made; read _; ip link set lo up; ip address add 5.5.5.2/24 dev up1; ip link set up1 up; '
                                  f'for a in {addresses}; do ip address add $a/32 dev lo; done; exec "$@"', "world", *inside],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert world.stdout.readline() == "made\n"
        sh(f"ip link set lo up; ip link add up0 type veth peer name up1 netns {world.pid}; ip address add {own}/24 dev up0; ip link set up0 up")
        world.stdin.write("\n")
        world.stdin.flush()
        assert world.stdout.readline() == "ready\n"
        sh("ip route add default via 5.5.5.2")
        yield
    finally:
        if world:
            world.kill()
            world.wait()
        check(libc.setns(home, NEWNET))
        os.close(home)
