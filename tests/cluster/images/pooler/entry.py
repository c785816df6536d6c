#!/usr/bin/env python3
"""Starts PgBouncer with the configuration of the pod's environment; runs as any user."""

import os
import subprocess
import sys

# The operator mounts the lookup account's entry here; without it one is made from PGUSER and PGPASSWORD.
MOUNTED_USERS = "/etc/pgbouncer/userlist.txt"
# The first that can be written to, for a root filesystem may be read-only; shared memory is there in every pod.
FOLDERS = ("/run/pgbouncer", "/tmp", "/dev/shm")


class Refused(Exception):
    """A variable is missing; the message is one line for the log."""


def main():
    try:
        folder = writable(FOLDERS)
        certificate, key = client_certificate(os.environ, folder)
        users = MOUNTED_USERS
        if not os.path.exists(users):
            users = write(f"{folder}/userlist.txt", user_list(os.environ))
        ini = write(f"{folder}/pgbouncer.ini", configuration(os.environ, users, certificate, key))
    except Refused as refused:
        sys.exit(f"refused: {refused}")
    os.execv("/usr/sbin/pgbouncer", ["pgbouncer", ini])


def configuration(env, users, certificate, key):
    """The whole of pgbouncer.ini."""
    lookup = required(env, "PGUSER")
    settings = {
        "listen_addr": "*",
        "listen_port": env.get("CONNECTION_POOLER_PORT") or "5432",
        "unix_socket_dir": "",
        "pool_mode": env.get("CONNECTION_POOLER_MODE") or "transaction",
        "default_pool_size": required(env, "CONNECTION_POOLER_DEFAULT_SIZE"),
        "reserve_pool_size": required(env, "CONNECTION_POOLER_RESERVE_SIZE"),
        "max_client_conn": required(env, "CONNECTION_POOLER_MAX_CLIENT_CONN"),
        "max_db_connections": required(env, "CONNECTION_POOLER_MAX_DB_CONN"),
        # CONNECTION_POOLER_MIN_SIZE is left out, as upstream does: it holds per database and user, and would
        # open more connections than max_db_connections allows.
        "admin_users": lookup,
        "auth_type": "scram-sha-256",
        "auth_file": users,
        "auth_query": f"SELECT * FROM {required(env, 'PGSCHEMA')}.user_lookup($1)",
        "server_tls_sslmode": "require",
        "client_tls_sslmode": "require",
        "client_tls_cert_file": certificate,
        "client_tls_key_file": key,
        "ignore_startup_parameters": "extra_float_digits,options",
        "idle_transaction_timeout": "600",
        "server_login_retry": "5",
    }
    if env.get("INFRASTRUCTURE_ROLES"):
        settings["stats_users"] = env["INFRASTRUCTURE_ROLES"]
    if env.get("CONNECTION_POOLER_CLIENT_CA_FILE"):
        settings["client_tls_ca_file"] = env["CONNECTION_POOLER_CLIENT_CA_FILE"]
    database = f"* = host={required(env, 'PGHOST')} port={env.get('PGPORT') or '5432'} auth_user={lookup}"
    lines = ["[databases]", database, "", "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
    return "\n".join(lines) + "\n"


def user_list(env):
    """The entry of the account that looks the others up."""
    def quoted(text):
        return '"' + text.replace('"', '""') + '"'
    return f"{quoted(required(env, 'PGUSER'))} {quoted(required(env, 'PGPASSWORD'))}\n"


def required(env, name):
    if not env.get(name):
        raise Refused(f"{name} is not set")
    return env[name]


def client_certificate(env, folder):
    """The mounted certificate and key, or a self-signed one made here: it encrypts, but does not identify the server."""
    if env.get("CONNECTION_POOLER_CLIENT_TLS_CRT"):
        return env["CONNECTION_POOLER_CLIENT_TLS_CRT"], required(env, "CONNECTION_POOLER_CLIENT_TLS_KEY")
    certificate, key = f"{folder}/server.crt", f"{folder}/server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "3650", "-subj", "/CN=pgloom-test", "-keyout", key, "-out", certificate],
        check=True, stderr=subprocess.DEVNULL,
    )
    return certificate, key


def writable(folders):
    for folder in folders:
        if os.access(folder, os.W_OK):
            return folder
    raise Refused(f"none of {', '.join(folders)} can be written to")


def write(path, content):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
    return path


if __name__ == "__main__":
    main()
