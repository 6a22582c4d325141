"""What the packer's scan finds and what it does not: secrets of many kinds, encoded by code that is not ours, in many hiding places; clean data; hostile files.

SCAN_CLEAN_GB=10 makes the search for false hits longer (usually 0.3 GB)."""
import base64
import bz2
import gzip
import io
import json
import lzma
import os
import random
import sqlite3
import string
import struct
import subprocess
import tarfile
import urllib.parse
import zipfile
import zlib

import pytest

BUILD = os.environ.get("BUILD", "build")
DRIVER = os.path.join(BUILD, "bench", "scan_files")
ALNUM = string.ascii_letters + string.digits
rng = random.Random(5)


def token(length, alphabet=ALNUM):
    return "".join(rng.choice(alphabet) for _ in range(length))


def pem(label, *options):
    key = subprocess.run(["openssl", "genpkey", *options], capture_output=True, check=True, text=True).stdout
    assert label in key
    return key.encode()


def secrets():
    """50 files of /run/secrets: path, value."""
    made = []
    made += [(f"llm/PROVIDER_{i}_API_KEY", (prefix + token(n)).encode()) for i, (prefix, n) in enumerate(
        [("sk-ant-api03-", 95), ("sk-proj-", 120), ("sk-", 48), ("AIza", 35), ("gsk_", 52), ("xai-", 80), ("r8_", 37), ("hf_", 34), ("", 32), ("", 40)])]
    made += [(f"bot/b{i}", (value).encode()) for i, value in enumerate(
        ["8123456789:AA" + token(33), token(24) + "." + token(6) + "." + token(38), "xoxb-" + token(12, string.digits) + "-" + token(24), "EAA" + token(180)])]
    made += [(f"custom/short{n}", token(n, ALNUM + "+/").encode()) for n in range(9, 17)]
    made += [(f"custom/hex{n}", token(n, "0123456789abcdef").encode()) for n in (16, 32, 40, 64, 128)]
    made += [(f"custom/special{i}", value.encode()) for i, value in enumerate(
        ['p@ss"word\\9/<&>\'x', "a b+c/d=e&f%g?H7", "naïve-Zürich-€42-пароль", "tab\tand\nline/7Q", "100% {sure} [9] #Q", "😀pass😀Wort9", "q/w/e/r/T/9/+/=", "`$(x)`~!^Q7|"])]
    made += [(f"custom/b64-{n}", base64.b64encode(rng.randbytes(n))) for n in (24, 33, 64, 200, 1000)]
    made.append(("custom/jwt", b".".join(base64.urlsafe_b64encode(x).rstrip(b"=") for x in
                 (b'{"alg":"HS256","typ":"JWT"}', json.dumps({"sub": token(20), "n": token(90)}).encode(), rng.randbytes(32)))))
    made.append(("custom/dsn", f"postgres://agent:{token(20)}@db.example.internal:5432/agent?sslmode=require".encode()))
    made.append(("custom/env", "".join(f"NAME_{i}={token(30)}\n" for i in range(12)).encode()))
    made.append(("custom/ec", pem("PRIVATE KEY", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")))
    made.append(("custom/ed25519", pem("PRIVATE KEY", "-algorithm", "ed25519")))
    made.append(("custom/rsa", pem("PRIVATE KEY", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")))
    made.append(("custom/account", json.dumps({"type": "service_account", "private_key": pem("PRIVATE KEY", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048").decode(), "token_uri": "https://oauth2.googleapis.com/token"}).encode()))
    made.append(("custom/phrase", b"correct horse battery staple and seven more of them"))
    made.append(("gateway-token", token(64, "0123456789abcdef").encode()))
    assert len(made) == 49
    return made


SECRETS = secrets()
WALLET = rng.randbytes(64)
CONFIGURED = [
    ("custom/egress-hosts", b"api.openai.example, *.githubusercontent.example"),
    ("custom/snapshot-exclude", b"workspace/cache/downloads"),
    ("custom/plain-word", b"password"),
    ("custom/digits", b"20251129"),
    ("custom/same", b"aaaaaaaaaaaaaaaa"),
    ("custom/run", b"12345678"),
    ("custom/certificate", b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(rng.randbytes(700)) + b"-----END CERTIFICATE-----\n"),
    ("channels.json", json.dumps({"channels": {"telegram": {"enabled": True, "dmPolicy": "pairing", "groupPolicy": "allowlist", "botToken": "7123456789:AA" + token(33)}}}).encode()),
    ("wallet/hot.json", json.dumps(list(WALLET), separators=(",", ":")).encode()),
]


def write_secrets(path, files):
    with open(path, "wb") as out:
        for name, value in files:
            out.write(struct.pack("<IHH", len(value), 0o400, len(name)) + name.encode() + value)
    return str(path)


def scan(secrets_path, paths, limit_s=200):
    """{path: what was found}, and the line of measurements."""
    ran = subprocess.run([DRIVER, secrets_path], input="\n".join(map(str, paths)), capture_output=True, text=True, timeout=limit_s)
    assert ran.returncode == 0, ran.stderr
    return dict(line.split("\t", 1) for line in ran.stdout.splitlines()), ran.stderr


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_secrets(tmp_path_factory.mktemp("secrets") / "files", SECRETS + CONFIGURED)


def wrap(data, width, end=b"\n"):
    return end.join(data[i:i + width] for i in range(0, len(data), width))


def json_text(value, **options):
    return json.dumps(value.decode(), **options).encode()[1:-1]


def encodings(value):
    """Name, bytes. value without the newline at its end."""
    junk = rng.randbytes(7)
    yield "raw", value
    for k in range(3):
        yield f"base64 {k}", base64.b64encode(junk[:k] + value + junk[:2])
        yield f"base64url {k}", base64.urlsafe_b64encode(junk[:k] + value + junk[:2]).rstrip(b"=")
        yield f"base64 76 {k}", wrap(base64.b64encode(junk[:k] + value), 76)
        yield f"base64 64 {k}", wrap(base64.b64encode(rng.randbytes(33 + k) + value), 64, b"\r\n")
        yield f"base64 in JSON {k}", b'{"a":"' + wrap(base64.b64encode(rng.randbytes(51 + k) + value), 64, b"\\n") + b'"}'
    yield "hex", value.hex().encode()
    yield "HEX", value.hex().upper().encode()
    yield "xxd -p", wrap((rng.randbytes(11) + value).hex().encode(), 60)
    yield "hex utf-16", value.hex().encode("utf-16le")
    yield "base64 utf-16", base64.b64encode(value).decode().encode("utf-16be")
    yield "all percent", "".join(f"%{b:02x}" for b in value).encode()
    yield "quote", urllib.parse.quote(value).encode()
    yield "quote all", urllib.parse.quote(value, safe="").encode()
    yield "quote_plus", urllib.parse.quote_plus(value).lower().encode() if b"%" in value else urllib.parse.quote_plus(value).encode()
    yield "json", json_text(value)
    yield "json utf-8", json_text(value, ensure_ascii=False)
    yield "json slash", json_text(value).replace(b"/", b"\\/")
    yield "json in json", json.dumps(json.dumps(value.decode(), ensure_ascii=False), ensure_ascii=False).encode()
    yield "json \\u", "".join(f"\\u{c:04X}" for c in struct.unpack(f">{len(value.decode().encode('utf-16be')) // 2}H", value.decode().encode("utf-16be"))).encode()
    yield "utf-16le", value.decode().encode("utf-16le")
    yield "utf-16be", value.decode().encode("utf-16be")


def tar_of(data, mode):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, body in (("first", b"x" * 700), ("state/file", data)):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def zip_of(data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"nothing here " * 50)
        archive.writestr("word/document.xml", data)
    return out.getvalue()


def compressed(data):
    text = b"some words before it, " * 8 + data + b" and some after\n" * 9
    yield "gzip", gzip.compress(text)
    yield "gzip members", gzip.compress(b"another member " * 99) + gzip.compress(text)
    yield "gzip within", b"\0" * 5000 + gzip.compress(text) + b"tail" * 400
    yield "nested gzip", gzip.compress(gzip.compress(gzip.compress(text)))
    yield "tar.gz", tar_of(text, "w:gz")
    yield "tar with gz", tar_of(gzip.compress(text), "w")
    yield "bzip2", bz2.compress(text, 3)
    yield "xz", lzma.compress(text)
    yield "zip", zip_of(text)
    yield "git object", zlib.compress(b"blob %d\0" % len(text) + text, 1)
    yield "git pack", b"PACK\0\0\0\2\0\0\0\2\x95\x0a" + zlib.compress(b"x" * 150) + b"\xb5\x03" + zlib.compress(text) + rng.randbytes(20)
    yield "zstd", subprocess.run(["zstd", "-q", "-c"], input=text, capture_output=True, check=True).stdout


def sqlite_of(path, data, wal):
    db = sqlite3.connect(path)
    if wal:
        db.execute("pragma journal_mode=wal")
    db.execute("create table t (id integer primary key, a text, b blob, c text)")
    db.execute("create index i on t (c)")
    db.executemany("insert into t (a, b, c) values (?, ?, ?)", [("row", rng.randbytes(30), token(8)) for _ in range(200)])
    # over the border between two pages
    text = ("." * (3900 + rng.randrange(250))).encode() + data + b"." * 3000
    if rng.randrange(2):
        db.execute("insert into t (a, c) values (?, 'x')", (text.decode("latin-1") if data.isascii() else text,))
    else:
        db.execute("insert into t (b, c) values (?, ?)", (b"x" * 20, text))
    db.commit()
    if wal:
        copy = sqlite3.connect(str(path) + ".copy")
        db.backup(copy)
        copy.close()
        os.replace(str(path) + ".copy", path)
    db.close()


def clean_value(name, value):
    return value.rstrip(b"\n")


def check_all(planted, tmp_path, cases):
    """cases: label, path's secret, bytes."""
    labels, paths = {}, []
    for i, (label, secret, data) in enumerate(cases):
        path = tmp_path / str(i)
        if data is not None:
            path.write_bytes(data)
        labels[str(path)] = (label, secret)
        paths.append(str(path))
    found, _ = scan(planted, paths)
    assert len(found) == len(paths)
    missed = [labels[path] for path, what in found.items() if not what]
    assert missed == []
    for path, what in found.items():
        for _, value in SECRETS:
            for line in [value] + value.split(b"\n"):
                assert len(line) < 8 or line.decode() not in what
    return found, labels


def test_finds_every_secret_in_every_encoding(planted, tmp_path):
    cases = [(name, path, b"key: " + data + b"\n") for path, value in SECRETS for name, data in encodings(clean_value(path, value))]
    found, labels = check_all(planted, tmp_path, cases)
    # and says which one it is
    wrong = [(labels[p], what) for p, what in found.items() if not what.startswith(labels[p][1].split("-")[0][:12])]
    assert len(wrong) == 0, wrong[:5]


def test_finds_every_secret_in_every_hiding_place(planted, tmp_path):
    cases = []
    for path, value in SECRETS:
        value = clean_value(path, value)
        forms = dict(encodings(value))
        for form in ("raw", "base64 1", "json"):
            for name, data in compressed(forms[form]):
                cases.append((f"{form}, {name}", path, data))
        cases.append(("URL", path, b"GET /v1?q=1&key=" + forms["quote all"] + b"&x=1 HTTP/1.1\r\n"))
        cases.append(("JSON file", path, json.dumps({"messages": [{"role": "user", "content": "it is " + value.decode()}]}, indent=1).encode()))
        cases.append(("UTF-16 file", path, b"\xff\xfe" + ("a line\r\n" * 9 + value.decode() + "\r\n").encode("utf-16le")))
    check_all(planted, tmp_path, cases)


def test_finds_secrets_in_sqlite(planted, tmp_path):
    cases = []
    for path, value in SECRETS:
        value = clean_value(path, value)
        for wal in (False, True):
            for form in (value, gzip.compress(b"in a value, compressed: " + rng.randbytes(5000) + value)):
                sqlite_of(tmp_path / str(len(cases)), form, wal)
                cases.append((f"sqlite wal={wal} {form[:2]}", path, None))
    check_all(planted, tmp_path, cases)


def test_finds_values_over_the_borders_of_sqlite_pages(tmp_path):
    """Each page size; in tables, without rowid, and in indexes; at any place of a value of many pages."""
    value = token(40).encode()
    secret = write_secrets(tmp_path / "s", [("custom/x", value)])
    paths = []
    for size in (512, 1024, 4096, 16384, 65536):
        for kind in ("text", "blob", "without rowid"):
            path = tmp_path / f"{size}{kind}"
            db = sqlite3.connect(path)
            db.execute(f"pragma page_size={size}")
            db.execute("create table t (k text primary key, v)" + (" without rowid" if kind == "without rowid" else ""))
            for i in range(8):
                body = "." * (size * 3 + i) + value.decode() + "." * size
                # so that each border is tried, and the raw file does not show the value whole by chance alone
                body = (value.decode()[:39] + "!" + body) if i % 2 else body
                db.execute("insert into t values (?, ?)", (str(i), body.encode() if kind == "blob" else body))
            db.commit()
            db.close()
            paths.append(path)
    found, _ = scan(secret, paths)
    assert all(found[str(p)] for p in paths), found


def test_finds_a_value_that_only_overflow_pages_hold_in_parts(tmp_path):
    value = token(60).encode()
    secret = write_secrets(tmp_path / "s", [("custom/x", value)])
    paths = []
    for tail in range(0, 508, 25):
        path = tmp_path / f"db{tail}"
        db = sqlite3.connect(path)
        db.execute("pragma page_size=512")
        db.execute("create table t (v blob)")
        db.execute("insert into t values (?)", (b"." * 3000 + value + b"." * tail,))
        db.commit()
        db.close()
        paths.append(path)
    in_parts = [path for path in paths if value not in path.read_bytes()]
    assert in_parts
    found, _ = scan(secret, paths)
    assert all(found.values())


def test_finds_the_hot_wallet(planted, tmp_path):
    numbers = list(WALLET)
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

    def base58(data):
        n, text = int.from_bytes(data, "big"), ""
        while n:
            n, digit = divmod(n, 58)
            text = alphabet[digit] + text
        return text.encode()
    node = "".join(("  " if i % 12 == 0 else "") + f"{n:3d}," + ("\n" if i % 12 == 11 else " ") for i, n in enumerate(numbers))
    cases = [(name, "wallet", data) for name, data in [
        ("compact", json.dumps(numbers, separators=(",", ":")).encode()), ("spaced", json.dumps(numbers).encode()),
        ("indented", json.dumps(numbers, indent=2).encode()), ("in an object", json.dumps({"k": {"key": numbers}}, indent=2).encode()), ("node", node.encode()),
        ("raw", WALLET), ("seed", WALLET[:32]), ("base58", base58(WALLET)), ("base58 of the seed", base58(WALLET[:32])), ("hex", WALLET.hex().encode()),
        ("base64", base64.b64encode(WALLET)), ("base64 of the seed", base64.b64encode(b"x" + WALLET[:32])),
        ("base64 of the text", base64.b64encode(json.dumps(numbers, separators=(",", ":")).encode()))]]
    check_all(planted, tmp_path, cases)
    # its address is public
    (tmp_path / "address").write_bytes(base58(WALLET[32:]) + b"\n" + WALLET[32:] + json.dumps(numbers[32:]).encode())
    found, _ = scan(planted, [tmp_path / "address"])
    assert list(found.values()) == [""]


def test_finds_parts_of_keys_but_not_what_is_public(planted, tmp_path):
    keys = dict(SECRETS)
    cases = []
    for path in ("custom/rsa", "custom/ec", "custom/ed25519"):
        body = b"".join(keys[path].splitlines()[1:-1])
        der = base64.b64decode(body)
        cases += [("one line", path, wrap(body, 1000)), ("48 a line", path, b"  " + wrap(body, 70, b"\n  ")), ("DER", path, der), ("DER in hex", path, der.hex().encode()),
                  ("DER in base64", path, base64.b64encode(b"y" + der)), ("PEM in base64", path, base64.b64encode(keys[path]))]
    body = b"".join(keys["custom/rsa"].splitlines()[1:-1])
    cases += [(f"64 characters at {at}", "custom/rsa", b"\n" + body[at:at + 64] + b"\n") for at in range(500, len(body) - 64, 37)]
    account = json.loads(keys["custom/account"])["private_key"]
    cases.append(("of an account", "custom/account", account.encode()))
    check_all(planted, tmp_path, cases)
    public = []
    for path in ("custom/rsa", "custom/ec", "custom/ed25519"):
        for form in ("PEM", "DER"):
            out = subprocess.run(["openssl", "pkey", "-pubout", "-outform", form], input=keys[path], capture_output=True, check=True).stdout
            public.append(out if form == "PEM" else out + b"\n" + out.hex().encode() + b"\n" + base64.b64encode(out) + base64.b64encode(b"1" + out) + base64.b64encode(b"12" + out))
    for i in range(6):
        public.append(pem("PRIVATE KEY", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048") if i == 0 else pem("PRIVATE KEY", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256") if i < 4 else pem("PRIVATE KEY", "-algorithm", "ed25519"))
    paths = [tmp_path / f"public{i}" for i in range(len(public))]
    for path, data in zip(paths, public):
        path.write_bytes(data)
    found, _ = scan(planted, paths)
    assert [what for what in found.values() if what] == []


def test_leaves_out_configuration_and_words(planted, tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(b"\n".join(value for name, value in CONFIGURED[:7]) + b"pairing allowlist telegram https://oauth2.googleapis.com/token\n")
    assert list(scan(planted, [path])[0].values()) == [""]
    path.write_bytes(json.loads(dict(CONFIGURED)["channels.json"])["channels"]["telegram"]["botToken"].encode())
    assert "channels.json" in list(scan(planted, [path])[0].values())[0]


def test_finds_secrets_over_every_border_of_blocks(tmp_path):
    value = token(40).encode()
    secret = write_secrets(tmp_path / "s", [("custom/x", value)])
    paths = []
    for form in (value, value.hex().encode(), b"A" * 30 + wrap(base64.b64encode(rng.randbytes(60) + value), 76)):
        for at in range(0, len(form) + 1):
            path = tmp_path / f"f{len(paths)}"
            path.write_bytes(b"\n" * ((256 << 10) - at) + form + b"\n" * 100)
            paths.append(path)
    found, _ = scan(secret, paths)
    assert all(found.values())
    middle = rng.randbytes(10 << 20)
    for i, at in enumerate((0, 5 << 20, (5 << 20) + 12345, (10 << 20))):
        for j, form in enumerate((value, gzip.compress(value), gzip.compress(rng.randbytes(300000) + value))):
            (tmp_path / "random").write_bytes(middle[:at] + form + middle[at:])
            assert list(scan(secret, [tmp_path / "random"])[0].values())[0], (i, j)


def test_looks_behind_holes(tmp_path):
    value = token(40).encode()
    secret = write_secrets(tmp_path / "s", [("custom/x", value)])
    path = tmp_path / "sparse"
    with open(path, "wb") as out:
        out.truncate(1 << 40)
        out.seek((700 << 30) + 12345)
        out.write(value)
    found, said = scan(secret, [path], 30)
    assert found[str(path)], said


def hostile_files(tmp_path):
    zeros = gzip.compress(b"\0" * (64 << 20), 9)
    yield "truncated", gzip.compress(rng.randbytes(100000))[:50000]
    damaged = bytearray(gzip.compress(b"words " * 50000))
    damaged[100:120] = rng.randbytes(20)
    yield "damaged", bytes(damaged)
    yield "many magics", b"\x1f\x8b\x08\x00" * 200000 + b"PK\3\4" * 100000 + b"\x28\xb5\x2f\xfd" * 100000
    yield "zlib magics", b"PACK" + b"\x78\x9c" * 500000
    yield "deep", nested(b"x" * 1000, 30)
    yield "64 MiB of zeros", zeros
    sqlite_of(tmp_path / "db", b"x" * 40, False)
    database = (tmp_path / "db").read_bytes()
    for i in range(30):
        broken = bytearray(database)
        for _ in range(200):
            broken[rng.randrange(100, len(broken))] = rng.randrange(256)
        yield f"damaged database {i}", bytes(broken)
    yield "database cut off", database[:5000]
    yield "database without end", database[:28] + b"\xff" * 72 + database[100:]
    # each cell's rest leads to its own page again
    page = bytearray(4096)
    page[0] = 13
    page[3:5] = (300).to_bytes(2, "big")
    for i in range(300):
        page[8 + 2 * i:10 + 2 * i] = (2000).to_bytes(2, "big")
    page[2000:2010] = b"\x8f\xff\xff\xff\x7f\x01" + b"\0\0\0\2"
    for at in range(2006, 4090, 4):
        page[at:at + 4] = b"\0\0\0\2"
    yield "database in a circle", database[:4096] + bytes(page) * 20


def nested(data, times):
    for _ in range(times):
        data = gzip.compress(data)
    return data


def test_hostile_files_end_soon_and_are_clean(planted, tmp_path):
    paths = {}
    for i, (name, data) in enumerate(hostile_files(tmp_path)):
        path = tmp_path / f"h{i}"
        path.write_bytes(data)
        paths[str(path)] = name
    found, said = scan(planted, paths, 120)
    assert {paths[p]: what for p, what in found.items() if what} == {}, said


def test_a_database_of_a_million_rows(planted, tmp_path):
    path = tmp_path / "large"
    db = sqlite3.connect(path)
    db.execute("create table t (id integer primary key, a text)")
    db.executemany("insert into t (a) values (?)", ((f"row {i} of many",) for i in range(10 ** 6)))
    db.execute("insert into t (a) values (?)", ("." * 4000 + SECRETS[0][1].decode() + "." * 3000,))
    db.commit()
    db.close()
    found, said = scan(planted, [path], 60)
    assert found[str(path)], said


def clean_files(tmp_path, total):
    """Made ones, then those of the system."""
    made = []

    def keep(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        made.append(str(path))
        return len(data)
    size = 0
    while size < total // 2:
        raw = rng.randbytes(4 << 20)
        i = len(made)
        size += keep(f"{i}random", raw) + keep(f"{i}b64", base64.encodebytes(raw)) + keep(f"{i}hex", raw.hex().encode()) + keep(f"{i}gz", gzip.compress(base64.b64encode(raw), 1))
        size += keep(f"{i}json", json.dumps([{"id": token(16), "n": rng.random(), "text": "a ü “word” " * 9} for _ in range(3000)]).encode())
        size += keep(f"{i}numbers", json.dumps([rng.randrange(256) for _ in range(300000)]).encode())
        sqlite_of(tmp_path / f"{i}db", rng.randbytes(200000), False)
        made.append(str(tmp_path / f"{i}db"))
        if len(made) >= 400:
            break
    for folder, _, names in os.walk("/usr"):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if size < total and os.path.isfile(path) and not os.path.islink(path) and "\n" not in path:
                size += os.path.getsize(path)
                made.append(path)
    return made


def test_clean_data_has_no_hit(planted, tmp_path):
    total = int(float(os.environ.get("SCAN_CLEAN_GB", "0.3")) * 1e9)
    found, said = scan(planted, clean_files(tmp_path, total), 3600)
    print(said)
    for path in tmp_path.iterdir():
        path.unlink()
    assert {path: what for path, what in found.items() if what} == {}


def test_thousand_secrets_are_prepared_soon(tmp_path):
    many = write_secrets(tmp_path / "s", [(f"custom/n{i}", token(8 + i % 90, ALNUM + "+/-_").encode()) for i in range(1000)])
    (tmp_path / "f").write_bytes(rng.randbytes(1 << 20))
    found, said = scan(many, [tmp_path / "f"], 60)
    print(said)
    assert list(found.values()) == [""]
