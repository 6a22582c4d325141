"""OCI image layouts made by hand, good and hostile: Python's tarfile, gzip, hashlib and json, none of multiclaw's code."""

import gzip
import hashlib
import io
import json
import pathlib
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def member(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, **more):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), mode
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def folder(name, mode=0o755, **more):
    return member(name, tarfile.DIRTYPE, mode=mode, **more)


def symlink(name, target):
    return member(name, tarfile.SYMTYPE, mode=0o777, linkname=target)


def hardlink(name, target):
    return member(name, tarfile.LNKTYPE, linkname=target)


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


PROGRAM = member("app", data=b"#!/bin/true\n", mode=0o755)


class Layout:
    """A folder; every part may be changed before it is written, and broken afterwards."""

    def __init__(self, path, members=(PROGRAM,), raw_layers=None, **config):
        self.path = pathlib.Path(path)
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        plain = raw_layers or [tar(members)]
        self.layers = [self.descriptor(gzip.compress(layer, 1), LAYER) for layer in plain]
        self.config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/app"], **config},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in plain]},
        }
        self.finish()

    def descriptor(self, data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def finish(self, manifest=None, index=None, config_bytes=None):
        """Writes configuration, manifest and index anew; each may be given."""
        config = config_bytes if config_bytes is not None else json.dumps(self.config).encode()
        self.manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.descriptor(config, CONFIG),
            "layers": self.layers,
            **(manifest or {}),
        }
        self.entry = self.descriptor(json.dumps(self.manifest).encode(), MANIFEST)
        self.digest = self.entry["digest"].removeprefix("sha256:")
        self.entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [self.entry], **(index or {})}))
        return self

    def blob(self, descriptor):
        return self.path / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")
