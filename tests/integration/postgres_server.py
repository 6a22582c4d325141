"""A private PostgreSQL server on a unix socket in a folder of its own, with every write on disk before it is answered."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from suite import wait_until


def binaries():
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    assert folders, "PostgreSQL's programs are not installed"
    return folders[-1]


class PostgresServer:
    """initdb refuses root: then everything of it runs as postgres, in a folder that user owns."""

    def __init__(self, **options):
        self.bin = binaries()
        self.options = {"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "shared_buffers": "16MB", "max_connections": "20",
                        "log_min_messages": "log", "log_statement": "all", **options}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-pg-"))
        self.folder.chmod(0o755)  # the socket is for others; what is kept is in a folder of its own
        self.prefix = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.prefix = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]
        self.process = None
        subprocess.run([*self.prefix, self.bin / "initdb", "-D", self.folder / "data", "-U", "vault", "-A", "trust", "-E", "UTF8", "--locale=C",
                        "--no-sync", "--no-instructions"], check=True, stdout=subprocess.DEVNULL, cwd="/")

    @property
    def conninfo(self):
        return f"host={self.folder} user=vault dbname=postgres"

    @property
    def store(self):
        """The vault's setting."""
        return f"postgres:{self.conninfo}"

    def start(self):
        settings = [word for name, value in {**self.options, "unix_socket_directories": self.folder}.items() for word in ("-c", f"{name}={value}")]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen([*self.prefix, self.bin / "postgres", "-D", self.folder / "data", *settings], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True, cwd="/")
        try:
            wait_until("PostgreSQL", self.answers, 30)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log}") from None
        return self

    def answers(self):
        assert self.process.poll() is None, self.log
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder], cwd="/").returncode == 0

    @property
    def log(self):
        return (self.folder / "server.log").read_text(errors="replace")

    def sql(self, text, user="vault"):
        """Rows of text, as psql prints them unaligned."""
        done = subprocess.run([self.bin / "psql", "-h", self.folder, "-U", user, "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text],
                              capture_output=True, text=True, timeout=60, cwd="/")
        assert done.returncode == 0, done.stderr
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]

    def kill(self):
        """kill -9 of every process of it at once, as a machine that loses power."""
        if self.process and self.process.poll() is None:
            pids = [self.process.pid, *children_of(self.process.pid)]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)  # or the postmaster would tidy up after those that die first
            for pid in [*pids, *children_of(self.process.pid)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
            wait_until("all of it is gone", lambda: not any(alive(pid) for pid in pids), 10)
        self.process = None

    def restart(self):
        self.kill()
        (self.folder / "data/postmaster.pid").unlink(missing_ok=True)
        return self.start()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def children_of(pid):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
