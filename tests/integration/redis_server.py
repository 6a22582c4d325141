"""A private redis-server with an append-only file, on a unix socket in a folder of its own."""

import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEDGER = (ROOT / "common" / "ledger.lua").read_text()


class RedisServer:
    def __init__(self, *options, appendfsync="always"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mc-redis-"))
        self.path = self.dir / "redis.sock"
        self.options = ["--port", "0", "--unixsocket", str(self.path), "--dir", str(self.dir), "--save", "",
                        "--appendonly", "yes", "--appendfsync", appendfsync, *options]
        self.process = None

    def start(self, *options):
        self.process = subprocess.Popen(["redis-server", *self.options, *options], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client().ping()
                return self
            except redis.exceptions.RedisError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def client(self, **options):
        return redis.Redis(unix_socket_path=str(self.path), decode_responses=True, **options)

    def kill(self):
        """kill -9, as a crash."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart(self, *options):
        """A new process that has what the old one had written."""
        self.kill()
        return self.start(*options)

    def empty(self):
        """Takes away all that was written; only while it does not run."""
        shutil.rmtree(self.dir / "appendonlydir")

    def save(self):
        """A copy of what was written so far, for go_back."""
        shutil.copytree(self.dir / "appendonlydir", self.dir / "saved", dirs_exist_ok=True)

    def go_back(self):
        """A new process that lost every write since save()."""
        self.kill()
        self.empty()
        shutil.copytree(self.dir / "saved", self.dir / "appendonlydir")
        return self.start()

    def stop(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def slot(number):
    return f"{number:020d}"


class Ledger:
    """The script's operations by name: ledger.look("jti")."""

    def __init__(self, client):
        self.client = client
        self.sha = None

    def call(self, *arguments):
        if self.sha is None:
            self.sha = self.client.script_load(LEDGER)
        try:
            return self.client.evalsha(self.sha, 0, *arguments)
        except redis.exceptions.NoScriptError:
            return self.client.eval(LEDGER, 0, *arguments)

    def __getattr__(self, operation):
        return lambda *arguments: self.call(operation, *arguments)
