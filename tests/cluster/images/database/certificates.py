"""The TLS certificate: made here when none is mounted, and read again by PostgreSQL when the mounted one was renewed."""

import hashlib
import os
import signal
import subprocess
import time

from configuration import OWN_CERTIFICATE, OWN_KEY, Refused, data_dir
from log import log

FILES = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file")


def prepare(parameters, own_by_account):
    """Mounted files have to be there; without any, a self-signed certificate is made: it encrypts, but does not identify the server."""
    if parameters["ssl_cert_file"] == OWN_CERTIFICATE:
        make(own_by_account)
    for path in files(parameters):
        if not os.path.exists(path):
            raise Refused(f"{path} is not there; is it in the Secret?")


def make(own_by_account):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "3650", "-subj", "/CN=pgloom-test", "-keyout", OWN_KEY, "-out", OWN_CERTIFICATE],
        check=True, stderr=subprocess.DEVNULL,
    )
    os.chmod(OWN_KEY, 0o600)
    for path in (OWN_KEY, OWN_CERTIFICATE):
        own_by_account(path)


def reload_when_changed(env, config):
    """Periodically: PostgreSQL reloads its files when their content has changed."""
    paths = files(config["postgresql"]["parameters"])
    interval = float(env.get("PGLOOM_CERTIFICATE_CHECK_SECONDS") or 300)
    known = fingerprint(paths)
    while True:
        time.sleep(interval)
        current = fingerprint(paths)
        if current and current != known:
            log("the certificate files changed, PostgreSQL reads them again")
            reload(os.path.join(data_dir(env), "postmaster.pid"))
            known = current


def fingerprint(paths):
    """One hash over the files; None while one of them is missing."""
    content = hashlib.sha256()
    try:
        for path in paths:
            with open(path, "rb") as file:
                content.update(hashlib.sha256(file.read()).digest())
    except FileNotFoundError:
        return None
    return content.digest()


def reload(pid_file):
    """Does nothing without PostgreSQL, which reads the files when it starts."""
    try:
        with open(pid_file) as file:
            os.kill(int(file.readline()), signal.SIGHUP)
    except (FileNotFoundError, ProcessLookupError):
        pass


def files(parameters):
    return [parameters[name] for name in FILES if name in parameters]
