"""The command line in a terminal, and against a service that is none of ours."""

import fcntl
import http.server
import json
import os
import pty
import select
import subprocess
import termios
import threading

from suite import BIN, wait_until

ASSET = "EZQRW4ErQBWur7BHodvgGVGCXMibe8B6m4PechYCrf6V"


class Terminal:
    """A command in a terminal of its own; says what was asked, types what is said."""

    def __init__(self, suite, *args, session=None):
        """session: one of a stand-in's, whose url counts then."""
        of = ["--session", session] if session else ["--url", suite.url, "--session", suite.state / "session.json", "-c", suite.state / "conf/suite.conf"]
        command = [BIN / "multiclaw", *of, *args]
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=suite.env, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave, self.shown = slave, ""

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.shown += os.read(self.master, 65536).decode(errors="replace")

    def asked(self, question):
        wait_until(f"asked: {question}", lambda: self.read(0.05) or question in self.shown, 10)
        wait_until("what is typed is not shown", lambda: not self.echoes(), 5)
        self.shown = self.shown.split(question, 1)[1]

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        wait_until("the command ends", lambda: self.read(0.05) or self.process.poll() is not None, 20)
        self.read(0.1)
        echoes = self.echoes()
        os.close(self.master)
        os.close(self.slave)
        assert echoes, "the terminal is as it was"
        return self.process.returncode


class Serving:
    """What has an HTTP server; it serves inside of `with`."""

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


class Service(Serving):
    """A service that answers what it likes: `answers` by path, each (status, body) or a function of the request's JSON that returns the body."""

    def __init__(self, answers=None):
        self.requests, self.answers, self.cookie = [], answers or {}, None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path, body))
                status, answer = outer.answers.get(self.path, (404, {}))
                if not isinstance(answer, bytes):
                    answer = json.dumps(answer(json.loads(body or "null")) if callable(answer) else answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                if outer.cookie:
                    self.send_header("Set-Cookie", outer.cookie)
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_port}"

    def session(self, tmp_path, asset=ASSET):
        path = tmp_path / "session.json"
        path.write_text(json.dumps({"url": self.url, "token": "t", "asset": asset, "agent_id": "a" * 32}))
        path.chmod(0o600)
        return path

    def run(self, suite, tmp_path, *args, asset=ASSET, **kwargs):
        command = [BIN / "multiclaw", "--session", self.session(tmp_path, asset), *args]
        return subprocess.run(command, capture_output=True, text=True, env=suite.env, timeout=30, **kwargs)

    def create(self, suite, tmp_path, keypair, out):
        return self.run(suite, tmp_path, "wallet", "hot", "create", "--keypair", keypair, "--out", out)
