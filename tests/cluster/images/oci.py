#!/usr/bin/env python3
"""Writes an image archive (OCI layout in a tar): layers of packages, and on top one folder of this project.

usage: oci.py layer ROOTFS.tar LAYER.tar.zst     compresses a root filesystem into a layer, with its identity in LAYER.tar.zst.json
       oci.py image FOLDER LAYER.tar.zst... ARCHIVE  puts the files of FOLDER on top and writes the archive that FOLDER/image.json describes
"""

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile

# The folder in the image that has the files of the image's folder.
HOME = "pgloom"
# One moment for everything, so that the same input gives the same digests.
EPOCH = 0
CREATED = "1970-01-01T00:00:00Z"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


def main(arguments):
    match arguments:
        case ["layer", rootfs, layer]:
            write_layer(rootfs, layer)
        case ["image", folder, *layers, archive]:
            write_image(folder, layers, archive)
        case _:
            sys.exit(__doc__)


def write_layer(rootfs, layer):
    subprocess.run(["zstd", "-q", "-f", "-3", "-T0", rootfs, "-o", layer], check=True)
    identity = {
        "diff_id": digest_of_file(rootfs),
        "descriptor": {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
            "digest": digest_of_file(layer),
            "size": os.path.getsize(layer),
        },
    }
    with open(layer + ".json", "w") as file:
        json.dump(identity, file)


def write_image(folder, layers, archive):
    with open(os.path.join(folder, "image.json")) as file:
        image = json.load(file)
    packages = [identity_of(layer) for layer in layers]

    own_tar = tar_of(folder, image.get("folders", []), image.get("links", {}))
    own = gzip.compress(own_tar, mtime=EPOCH)

    config = to_bytes({
        "created": CREATED,
        "architecture": ARCHITECTURE.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": image["config"],
        "rootfs": {"type": "layers", "diff_ids": [*(layer["diff_id"] for layer in packages), digest(own_tar)]},
        "history": [
            *({"created": CREATED, "created_by": f"packages: {os.path.basename(layer).partition('-')[0]}"} for layer in layers),
            {"created": CREATED, "created_by": f"files of {os.path.basename(folder)}"},
        ],
    })
    manifest = to_bytes({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [*(layer["descriptor"] for layer in packages), descriptor("application/vnd.oci.image.layer.v1.tar+gzip", own)],
    })
    entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {
        "io.containerd.image.name": image["name"],
        "org.opencontainers.image.ref.name": image["name"].rpartition(":")[2],
    }
    index = to_bytes({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]})

    with tarfile.open(archive, "w") as tar:
        add_bytes(tar, "oci-layout", to_bytes({"imageLayoutVersion": "1.0.0"}))
        add_bytes(tar, "index.json", index)
        for blob in (manifest, config, own):
            add_bytes(tar, blob_path(digest(blob)), blob)
        for layer, identity in zip(layers, packages):
            with open(layer, "rb") as file:
                add(tar, blob_path(identity["descriptor"]["digest"]), identity["descriptor"]["size"], file)


def identity_of(layer):
    with open(layer + ".json") as file:
        return json.load(file)


def tar_of(folder, empty_folders, links):
    """The folder's files as a tar, tests left out; owner, order and times do not depend on this machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for empty in empty_folders:
            info = tarfile.TarInfo(empty["path"])
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, int(empty["mode"], 8), empty["uid"], empty["gid"]
            tar.addfile(info)
        for path, target in sorted(links.items()):
            info = tarfile.TarInfo(path)
            info.type, info.linkname, info.mtime = tarfile.SYMTYPE, target, EPOCH
            tar.addfile(info)
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if not os.path.isfile(path) or name.startswith("test_") or name == "image.json":
                continue
            with open(path, "rb") as file:
                add_bytes(tar, f"{HOME}/{name}", file.read(), 0o755 if os.access(path, os.X_OK) else 0o644)
    return buffer.getvalue()


def add_bytes(tar, name, content, mode=0o644):
    add(tar, name, len(content), io.BytesIO(content), mode)


def add(tar, name, size, file, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, EPOCH
    tar.addfile(info, file)


def descriptor(media_type, content):
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_of_file(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def blob_path(name):
    return "blobs/" + name.replace(":", "/")


def to_bytes(value):
    return json.dumps(value, separators=(",", ":")).encode()


if __name__ == "__main__":
    main(sys.argv[1:])
