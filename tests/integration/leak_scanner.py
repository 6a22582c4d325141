"""Looks for planted secrets in whatever a suite writes, answers or shows, in every form that a program may have given them.

A secret of 32 bytes or more is looked for by its halves, so that one that was cut off is found as well; a preview of eight characters is not a leak.
"""

import base64
import bisect
import collections
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.parse
import zlib

from suite import b58encode

Finding = collections.namedtuple("Finding", "where secret form")

HALVED_FROM = 32
SHORTEST = 8
UNPACKED_MAX = 64 << 20
DEPTH_MAX = 3
GAP = b"\3" * 32

# grep knows lines; a needle may hold what ends one. What collides is told apart afterwards.
PLAIN = bytes.maketrans(b"\n\0", b"\1\2")


def base64_of(data, offset):
    """The characters that are the same whatever stands before (offset bytes of it modulo 3) and after."""
    first = (8 * offset + 5) // 6
    end = 8 * (offset + len(data)) // 6
    return base64.b64encode(bytes(offset) + data + bytes(3))[first:end]


def forms_of(data):
    """(name, needle) of one piece of a secret."""
    yield "raw", data
    for offset in range(3):
        plain = base64_of(data, offset)
        yield f"base64 at {offset}", plain
        yield f"base64url at {offset}", plain.translate(bytes.maketrans(b"+/", b"-_"))
    yield "hex", data.hex().encode()
    yield "HEX", data.hex().upper().encode()
    for name, fmt in (("%%%02x", "url, all"), ("%%%02X", "URL, all"), ("\\u%04x", "JSON, all"), ("\\x%02x", "C, all")):
        yield fmt, "".join(name % byte for byte in data).encode()
    quoted = urllib.parse.quote(data, safe="")
    yield "URL", quoted.encode()
    yield "url", "".join(c.lower() if before == "%" or before2 == "%" else c for before2, before, c in zip("  " + quoted, " " + quoted, quoted)).encode()
    yield "form", urllib.parse.quote_plus(data, safe="").encode()
    yield "numbers", ",".join(map(str, data)).encode()
    yield "numbers with spaces", ", ".join(map(str, data)).encode()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    else:
        for name, ascii_only in (("JSON", True), ("JSON, UTF-8", False)):
            escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
            yield name, escaped.encode()
            yield f"{name}, slashes too", escaped.replace("/", "\\/").encode()
    yield "UTF-16LE", text.encode("utf-16-le")
    yield "UTF-16BE", text.encode("utf-16-be")


def pieces_of(data):
    if len(data) < HALVED_FROM:
        return [data]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return [data[: len(data) // 2], data[len(data) // 2 :]]
    return [text[: len(text) // 2].encode(), text[len(text) // 2 :].encode()]


class LeakScanner:
    def __init__(self, secrets):
        """secrets: name -> bytes or text."""
        self.needles = {}
        for name, value in secrets.items():
            value = value.encode() if isinstance(value, str) else bytes(value)
            assert len(value) >= SHORTEST, f"{name} is too short to be told from chance"
            for piece in pieces_of(value):
                for form, needle in forms_of(piece):
                    self.needles.setdefault(needle, (name, form))
            if len(value) <= 64:
                self.needles.setdefault(b58encode(value).encode(), (name, "base58"))
        self.looked_at = 0  # bytes
        self.places = []  # (offset of its end, where)
        self.heap = tempfile.TemporaryFile()

    def add(self, where, data, depth=0):
        """Something that must hold none of them: text or bytes."""
        data = data.encode(errors="surrogateescape") if isinstance(data, str) else bytes(data)
        self.heap.write(data)
        self.heap.write(GAP)
        self.looked_at += len(data)
        self.places.append((self.heap.tell(), where))
        at = data.find(b"\x1f\x8b\x08") if depth < DEPTH_MAX else -1
        while at >= 0:
            unpacked = unpack(data[at:])
            if unpacked:
                self.add(f"{where} (gzip at {at})", unpacked, depth + 1)
            at = data.find(b"\x1f\x8b\x08", at + 1)

    def add_file(self, path, where=None):
        """A file that vanishes meanwhile holds nothing."""
        try:
            self.add(where or str(path), pathlib.Path(path).read_bytes())
        except FileNotFoundError:
            pass

    def add_folder(self, folder, skip=()):
        """Every regular file below it, and its name. skip: names relative to folder."""
        folder = pathlib.Path(folder)
        skip = [folder / name for name in skip]
        for path in sorted(folder.rglob("*")):
            if any(path == other or other in path.parents for other in skip):
                continue
            self.add(f"name of {path}", os.fsencode(path))
            if path.is_file() and not path.is_symlink():
                self.add_file(path)

    def add_process(self, pid):
        """What anybody on the host sees of it, and what its own user does."""
        for name in ("environ", "cmdline", "comm", "maps"):
            try:
                self.add_file(f"/proc/{pid}/{name}")
            except (PermissionError, ProcessLookupError):
                pass

    def findings(self):
        """Of everything that was added, each (where, secret, form) once, in order."""
        needles = collections.defaultdict(list)
        for needle in self.needles:
            needles[needle.translate(PLAIN)].append(needle)
        self.heap.flush()
        self.heap.seek(0)
        data = self.heap.read()
        found = []
        with tempfile.NamedTemporaryFile() as patterns:
            patterns.write(b"\n".join(needles) + b"\n")
            patterns.flush()
            grep = subprocess.run(["grep", "-aobF", "-f", patterns.name], input=data.translate(PLAIN), capture_output=True,
                                  env={**os.environ, "LC_ALL": "C"})
        assert grep.returncode in (0, 1), grep.stderr
        for line in grep.stdout.split(b"\n")[:-1]:
            offset, plain = line.split(b":", 1)
            offset = int(offset)
            for needle in needles[plain]:
                if data[offset : offset + len(needle)] == needle:
                    found.append(Finding(self.place_of(offset), *self.needles[needle]))
        return list(dict.fromkeys(found))

    def place_of(self, offset):
        return self.places[bisect.bisect_right([end for end, _ in self.places], offset)][1]


def unpack(data):
    """What a gzip member at the beginning of data holds, as far as it goes."""
    unpacker, out = zlib.decompressobj(31), b""
    try:
        # in pieces: a member that is cut off or broken still shows what it has
        for at in range(0, len(data), 4096):
            out += unpacker.decompress(data[at : at + 4096], UNPACKED_MAX - len(out))
            if unpacker.eof or len(out) >= UNPACKED_MAX:
                break
    except zlib.error:
        pass
    return out
