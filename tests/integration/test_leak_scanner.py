"""A check that finds nothing proves nothing: the scanner finds each form of a planted secret, and nothing where there is none."""

import base64
import gzip
import json
import os
import pathlib
import random
import subprocess
import urllib.parse

import pytest

from leak_scanner import LeakScanner, forms_of
from suite import b58encode, wait_until

SECRETS = {
    "key": "sk-ant-api03-Zr/8+q\"W\\e&=%?~ 5xPq_L9vTgB2nD7kYhJ4mC1s",
    "words": "corréct hörse\nbattery\tstaple — with 日本語 and an emoji 🔑 at the end",
    "bytes": bytes(random.Random(1).randbytes(64)),
    "zeros inside": b"\0\n\0\n" + bytes(random.Random(2).randbytes(24)) + b"\n\0\n\0",
    "short": "s3cr3t-token",
}


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


def found(data, secrets=SECRETS):
    scanner = LeakScanner(secrets)
    scanner.add("noise before", random.Random(3).randbytes(5000))
    scanner.add("here", data)
    scanner.add("noise after", random.Random(4).randbytes(5000))
    findings = scanner.findings()
    assert {f.where.split(" (gzip")[0] for f in findings} <= {"here"}, findings
    return {f.secret for f in findings}


# by other code than the scanner's own
ENCODINGS = {
    "raw": lambda v: as_bytes(v),
    **{f"base64 at {n}": (lambda v, n=n: base64.b64encode(os.urandom(n) + as_bytes(v) + os.urandom(5))) for n in range(6)},
    **{f"base64url at {n}": (lambda v, n=n: base64.urlsafe_b64encode(os.urandom(n) + as_bytes(v))) for n in range(3)},
    "hex": lambda v: as_bytes(v).hex().encode(),
    "HEX": lambda v: as_bytes(v).hex().upper().encode(),
    "URL": lambda v: urllib.parse.quote(as_bytes(v), safe="").encode(),
    "form": lambda v: urllib.parse.urlencode({"value": as_bytes(v)}).encode(),
    "JSON": lambda v: json.dumps({"value": v if isinstance(v, str) else list(v)}).encode(),
    "JSON, compact": lambda v: json.dumps({"v": v if isinstance(v, str) else list(v)}, separators=(",", ":"), ensure_ascii=False).encode(),
    "JSON of JSON": lambda v: json.dumps(v if isinstance(v, str) else list(v)).encode(),
    "UTF-16LE": lambda v: (v if isinstance(v, str) else v.decode("latin-1")).encode("utf-16-le"),
    "UTF-16BE": lambda v: (v if isinstance(v, str) else v.decode("latin-1")).encode("utf-16-be"),
    "UTF-16 with a mark": lambda v: (v if isinstance(v, str) else v.decode("latin-1")).encode("utf-16"),
    "PostgreSQL's bytea": lambda v: b"\\x" + as_bytes(v).hex().encode(),
    "gzip": lambda v: gzip.compress(b"before" + as_bytes(v) + b"after"),
    "gzip of base64": lambda v: gzip.compress(base64.b64encode(as_bytes(v))),
    "gzip, cut off": lambda v: gzip.compress(as_bytes(v) + os.urandom(40000))[:20000],
    "gzip in gzip": lambda v: b"x" + gzip.compress(b"y" + gzip.compress(as_bytes(v))),
    "the second of two gzip members": lambda v: gzip.compress(b"first" * 100) + gzip.compress(as_bytes(v)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", SECRETS)
def test_finds_a_secret_in_each_encoding(name, encoding):
    data = os.urandom(3000) + ENCODINGS[encoding](SECRETS[name]) + os.urandom(3000)
    assert found(data) == {name}


def test_finds_a_key_in_base58_and_half_of_one_in_anything():
    key = os.urandom(32)
    assert found(b"the key is " + b58encode(key).encode() + b".", {"key": key}) == {"key"}
    for half in (key[:16], key[16:]):
        for form, needle in forms_of(half):
            assert found(b"..." + needle + b"...", {"key": key}) == {"key"}, form


def test_finds_every_one_of_many_in_one_place():
    many = {f"secret {i}": os.urandom(24).hex() for i in range(60)}
    assert found("\n".join(many.values()), many) == set(many)


def test_finds_nothing_where_nothing_is():
    scanner = LeakScanner(SECRETS)
    scanner.add("noise", os.urandom(4 << 20))
    scanner.add("previews", "".join(str(v)[:8] for v in SECRETS.values()))
    # a secret that two files hold half of each is in neither
    value = as_bytes(SECRETS["short"])
    scanner.add("first half", value[:6])
    scanner.add("second half", value[6:])
    scanner.add("no gzip", b"\x1f\x8b\x08" * 100)
    assert scanner.findings() == []


def test_looks_into_folders_names_and_processes(tmp_path):
    secret = {"it": "a-token-of-some-length-0123456789"}
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_text(f"x={secret['it']}")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/own").write_text(secret["it"])
    scanner = LeakScanner(secret)
    scanner.add_folder(tmp_path, skip=["kept"])
    assert [f.where for f in scanner.findings()] == [str(tmp_path / "deep/er/file")]
    (tmp_path / f"deep/{secret['it']}").touch()
    scanner = LeakScanner(secret)
    scanner.add_folder(tmp_path / "deep", skip=["er"])
    assert len(scanner.findings()) == 1

    for command, env in ((["sleep", "60"], {"TOKEN": secret["it"]}), (["sh", "-c", "read x", secret["it"]], {})):
        process = subprocess.Popen(command, env={**os.environ, **env}, stdin=subprocess.PIPE)
        try:
            # a process that has just begun has neither yet
            wait_until("it runs", lambda: pathlib.Path(f"/proc/{process.pid}/environ").read_bytes())
            scanner = LeakScanner(secret)
            scanner.add_process(process.pid)
            assert len(scanner.findings()) == 1, command
        finally:
            process.kill()
            process.wait()
