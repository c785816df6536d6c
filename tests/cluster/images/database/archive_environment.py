"""The archives that a pod's variables name, as variables of archive.py in a folder each; values in, values out."""

import os
import shlex

FOLDER = "/run/etc/wal-e.d"
ARCHIVE = "/usr/bin/python3 /pgloom/archive.py"
# The cluster's own archive, that of a clone's source, that of a standby's source.
OWN, CLONE, STANDBY = "", "CLONE_", "STANDBY_"
PASSED_ON = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "WALG_S3_CA_CERT_FILE")
NOT_SUPPORTED = ("WAL_GS_BUCKET", "WALE_GS_PREFIX", "WALG_GS_PREFIX", "AZURE_STORAGE_ACCOUNT", "WALG_AZ_PREFIX", "WAL_SWIFT_BUCKET")


def archive(env, kind, version):
    """The variables of one archive; None where there is none in an S3 bucket."""
    given = {name.removeprefix(kind): value for name, value in env.items() if name.startswith(kind) and value}
    prefix = given.get("WALE_S3_PREFIX") or given.get("WALG_S3_PREFIX")
    if not prefix and given.get("WAL_S3_BUCKET") and given.get("SCOPE"):
        folder = given.get("WAL_BUCKET_SCOPE_PREFIX", "") + given["SCOPE"] + given.get("WAL_BUCKET_SCOPE_SUFFIX", "")
        prefix = f"s3://{given['WAL_S3_BUCKET']}/spilo/{folder}/wal/{version}"
    if not prefix:
        return None
    variables = {name: given[name] for name in PASSED_ON if name in given}
    variables["WALE_S3_PREFIX"] = prefix.rstrip("/")
    if endpoint := given.get("AWS_ENDPOINT") or given.get("WALE_S3_ENDPOINT"):
        # As WAL-E writes it, the scheme says where the bucket's name belongs: https+path://host.
        scheme, _, rest = endpoint.partition("://")
        scheme, _, convention = scheme.partition("+")
        variables["AWS_ENDPOINT"] = f"{scheme}://{rest}"
        variables["AWS_S3_FORCE_PATH_STYLE"] = "false" if convention in ("virtualhost", "subdomain") else "true"
    elif "AWS_S3_FORCE_PATH_STYLE" in given:
        variables["AWS_S3_FORCE_PATH_STYLE"] = given["AWS_S3_FORCE_PATH_STYLE"]
    return variables


def folder(env, kind):
    """The folder of the variables of one archive, which envdir reads."""
    if kind == OWN:
        return f"{FOLDER}/env"
    scope = env.get(f"{kind}SCOPE")
    return f"{FOLDER}/env-{kind.rstrip('_').lower()}" + (f"-{scope}" if scope else "")


def with_archive(env, kind, command):
    """The shell command with the variables of an archive."""
    return f"envdir {shlex.quote(folder(env, kind))} {command}"


def write(env, version, own_by_account):
    """Makes the folders; only postgres and root may read them, as they hold keys."""
    for kind in (OWN, CLONE, STANDBY):
        variables = archive(env, kind, version)
        if variables is None:
            continue
        path = folder(env, kind)
        os.makedirs(path, mode=0o700, exist_ok=True)
        own_by_account(path)
        for name, value in variables.items():
            descriptor = os.open(os.path.join(path, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w") as file:
                # One line is what envdir reads.
                file.write(value.replace("\n", " "))
            own_by_account(os.path.join(path, name))
