"""A provider by TLS that reads a request's head and then does to the connection whatever a test says; and certificates of every kind."""

import socket
import ssl
import struct
import subprocess
import threading


def certificate(folder, name, *more):
    """(certificate, key): self-signed, for 127.0.0.1."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", *more], check=True, capture_output=True)
    return cert, key


def expired_certificate(folder):
    """As certificate(); it was good for a day, long ago."""
    _, key = certificate(folder, "expired")
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/index.txt\nserial={folder}/serial\nrand_serial=yes\ndefault_md=sha256\n"
                                   f"new_certs_dir={folder}\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n"
                                   "[x]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:true\n")
    request, cert = folder / "expired.csr", folder / "expired.pem"
    subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=expired", "-out", request], check=True, capture_output=True)
    subprocess.run(["openssl", "ca", "-batch", "-notext", "-config", folder / "ca.cnf", "-selfsign", "-keyfile", key, "-in", request, "-out", cert,
                    "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"], check=True, capture_output=True)
    return cert, key


class HostileProvider:
    """plan(connection, head) is called for each request's head; what it returns True after is read on. handshakes: connections that got that far."""

    def __init__(self, cert, key, tls=True, **versions):
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if versions:
                self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
            for name, version in versions.items():
                setattr(self.context, name, version)
            self.context.load_cert_chain(cert, key)
        self.plan, self.heads, self.connections, self.ended, self.resets = None, [], 0, threading.Event(), False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.resets:
                connection.recv(1)
                reset(connection)
                return
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            while head := self.read_head(connection):
                self.heads.append(head)
                if self.plan(connection, head) is not True:
                    break
        except (OSError, ValueError):
            pass
        finally:
            connection.close()
            self.ended.set()

    @staticmethod
    def read_head(connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := connection.recv(1)):
                return b""
            head += byte
        return head

    def answers(self, data, then=False):
        """What is sent to each request; then: what the plan returns."""

        def plan(connection, head):
            connection.sendall(data)
            return then

        self.plan = plan

    def close(self):
        self.listener.close()


def key_of(head):
    return next(line.split(b" ")[-1] for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:"))


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
