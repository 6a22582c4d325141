"""The server's side of the bus in Python: pyzmq's ROUTER under CURVE, msgpack. Stands in for a daemon whose word the test decides."""

import os
import pathlib
import threading
import time

import msgpack
import zmq

VERSION = 1


def read_key(state, name):
    text = (pathlib.Path(state) / f"keys/curve/{name}.key").read_text()
    return {word[0]: word[1].encode() for word in (line.split() for line in text.splitlines()) if len(word) == 2}


class Refusal(Exception):
    """Raised by a handler: the call is answered with this status and reason."""

    def __init__(self, status, reason="", **more):
        super().__init__(status)
        self.envelope = {"status": status, **({"reason": reason} if reason else {}), **more}


class Silence(Exception):
    """Raised by a handler: nobody answers."""


class BusServer:
    """Serves `handle(call, body)` on run/<replica>.bus, each call in a thread of its own; remembers what was asked."""

    def __init__(self, state, role, replica, handle):
        self.key = read_key(state, role)
        self.address = f"ipc://{state}/run/{replica}.bus"
        self.handle = handle
        self.asked = []
        self.context = zmq.Context()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.ready = threading.Event()

    def start(self):
        self.thread.start()
        assert self.ready.wait(5)
        return self

    def stop(self):
        self.stopping.set()
        self.thread.join(5)
        self.context.destroy(linger=0)

    def serve(self):
        front = self.context.socket(zmq.ROUTER)
        front.linger = 0
        front.curve_server = True
        front.curve_publickey, front.curve_secretkey = self.key["public"], self.key["secret"]
        front.bind(self.address)
        # as root the suite's daemons are users of their own
        os.chmod(self.address.removeprefix("ipc://"), 0o666)
        back = self.context.socket(zmq.PULL)
        back.bind("inproc://answers")
        poller = zmq.Poller()
        poller.register(front, zmq.POLLIN)
        poller.register(back, zmq.POLLIN)
        self.ready.set()
        while not self.stopping.is_set():
            for socket, _ in poller.poll(50):
                if socket is front:
                    peer, frame = front.recv_multipart()
                    threading.Thread(target=self.answer, args=(peer, frame), daemon=True).start()
                else:
                    front.send_multipart(back.recv_multipart())
        front.close()
        back.close()

    def answer(self, peer, frame):
        unpacker = msgpack.Unpacker()
        unpacker.feed(frame)
        request, body = list(unpacker)
        envelope, answer = {"status": "ok"}, None
        try:
            if request["call"] == "bus.ping":
                answer = {}
            else:
                self.asked.append((request["call"], body))
                answer = self.handle(request["call"], body)
        except Refusal as e:
            envelope = e.envelope
        except Silence:
            return
        envelope = {"version": VERSION, "id": request["id"], "clock": int(time.time() * 1000), **envelope}
        data = msgpack.packb(envelope) + (msgpack.packb(answer) if answer is not None else b"")
        push = self.context.socket(zmq.PUSH)
        push.connect("inproc://answers")
        push.send_multipart([peer, data])
        push.close()

    def count(self, call):
        return sum(1 for name, _ in self.asked if name == call)
