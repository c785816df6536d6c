"""From the pod's environment (the Spilo contract) to Patroni's configuration; values in, values out."""

import json
import os
import shlex

from archive_environment import ARCHIVE, CLONE, NOT_SUPPORTED, OWN, STANDBY, archive, with_archive

# A file of this image; Patroni runs some of them.
HERE = "/pgloom"
# Where a certificate is made when none is mounted.
OWN_CERTIFICATE = "/run/certs/server.crt"
OWN_KEY = "/run/certs/server.key"
VERSIONS = "/usr/lib/postgresql"

NO_WAL_ARCHIVE = "this image knows archives in S3 buckets only"


class Refused(Exception):
    """The environment asks for something that this image cannot give; the message is one line for the log."""


def configuration(env):
    """The whole of Patroni's configuration: defaults, overlaid with SPILO_CONFIGURATION."""
    for name in ("SCOPE", "POD_IP", "HOSTNAME"):
        if not env.get(name):
            raise Refused(f"{name} is not set")
    if not is_true(env.get("DCS_ENABLE_KUBERNETES_API")):
        raise Refused("DCS_ENABLE_KUBERNETES_API is not true: this image keeps its state in Kubernetes only")

    wanted = parse("SPILO_CONFIGURATION", env.get("SPILO_CONFIGURATION"))
    config = merge(defaults(env, wanted), wanted)
    config["postgresql"]["pg_hba"] = with_patroni_let_in(config["postgresql"]["pg_hba"], env)
    return config


def defaults(env, wanted):
    """Patroni's configuration where SPILO_CONFIGURATION sets nothing."""
    host = f"[{env['POD_IP']}]" if ":" in env["POD_IP"] else env["POD_IP"]
    major = version(env, wanted)
    config = {
        "scope": env["SCOPE"],
        "name": env["HOSTNAME"],
        "kubernetes": kubernetes(env),
        "watchdog": {"mode": "off"},
        "restapi": {"listen": ":8008", "connect_address": f"{host}:8008"},
        "bootstrap": bootstrap(env, major),
        "postgresql": {
            "listen": "*:5432",
            "connect_address": f"{host}:5432",
            "data_dir": data_dir(env),
            "bin_dir": f"{VERSIONS}/{major}/bin",
            "pgpass": "/run/postgresql/pgpass",
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "authentication": {
                "superuser": {"username": superuser(env), "password": env.get("PGPASSWORD_SUPERUSER", "")},
                "replication": {"username": standby(env), "password": env.get("PGPASSWORD_STANDBY", "")},
            },
            "parameters": parameters(env, major),
            "pg_hba": pg_hba(env, wanted),
            "create_replica_methods": ["basebackup"],
            "basebackup": {"checkpoint": "fast"},
            # Patroni asks for this one only, as there is no leader to copy from.
            "standby_with_wale": restore(env, STANDBY, major) | {"no_leader": True},
        },
    }
    if archive(env, OWN, major):
        # A replica that the leader has no WAL for any more finds it there.
        config["postgresql"]["recovery_conf"] = {"restore_command": restore_command(env, OWN)}
    return config


def kubernetes(env):
    """How Patroni keeps its state: in Endpoints, which makes the leader's address the master Service's too, or in ConfigMaps."""
    section = {
        "namespace": env.get("POD_NAMESPACE", "default"),
        "labels": labels(env.get("KUBERNETES_LABELS")),
        "scope_label": env.get("KUBERNETES_SCOPE_LABEL", "version"),
        "role_label": env.get("KUBERNETES_ROLE_LABEL", "spilo-role"),
        # The default of Patroni 3; from Patroni 4 on the default is `primary`.
        "leader_label_value": "master",
        "standby_leader_label_value": "master",
        "pod_ip": env["POD_IP"],
        "bypass_api_service": is_true(env.get("KUBERNETES_BYPASS_API_SERVICE")),
    }
    if not is_true(env.get("KUBERNETES_USE_CONFIGMAPS")):
        section |= {"use_endpoints": True, "ports": [{"name": "postgresql", "port": 5432}]}
    return section


def bootstrap(env, major):
    """How the first member makes the database cluster, and the dynamic configuration that it starts with."""
    human_role = shlex.quote("human_role=" + human(env))
    section = {
        # Patroni adds the connection string, which psql takes for the database.
        "post_init": f"psql --no-psqlrc --quiet --variable {human_role} --file {HERE}/roles.sql",
        "initdb": [{"encoding": "UTF8"}, {"locale": "en_US.UTF-8"}, "data-checksums"],
        "dcs": {
            "ttl": 30,
            "loop_wait": 10,
            "retry_timeout": 10,
            "maximum_lag_on_failover": 33554432,
            "postgresql": {
                "use_pg_rewind": True,
                "use_slots": True,
                "parameters": {
                    "archive_mode": "on",
                    "archive_timeout": "1800s",
                    "autovacuum_analyze_scale_factor": 0.02,
                    "autovacuum_max_workers": 5,
                    "autovacuum_vacuum_scale_factor": 0.05,
                    "checkpoint_completion_target": 0.9,
                    "hot_standby": "on",
                    "max_connections": 100,
                    "max_replication_slots": 10,
                    "max_wal_senders": 10,
                    "tcp_keepalives_idle": 900,
                    "tcp_keepalives_interval": 100,
                    "track_functions": "all",
                    "wal_level": "replica",
                    "wal_log_hints": "on",
                },
            },
        },
    }
    if env.get("PGPASSWORD_ADMIN"):
        admin = {"password": env["PGPASSWORD_ADMIN"], "options": ["CREATEROLE", "CREATEDB"]}
        section["users"] = {env.get("PGUSER_ADMIN", "admin"): admin}
    # The same order as in Spilo: the clone variables win over the standby variables.
    match env.get("CLONE_METHOD"):
        case "CLONE_WITH_BASEBACKUP":
            section |= {"method": "clone", "clone": {"command": f"/usr/bin/python3 {HERE}/clone.py"}}
        case "CLONE_WITH_WALE":
            section |= {"method": "clone", "clone": restore(env, CLONE, major) | {"recovery_conf": recovery_of_clone(env)}}
        case None | "":
            if follows := standby_cluster(env):
                section["dcs"]["standby_cluster"] = follows
        case other:
            raise Refused(f"CLONE_METHOD is {other}; CLONE_WITH_BASEBACKUP or CLONE_WITH_WALE is what this image can do")
    return section


def standby_cluster(env):
    """The cluster to follow, by its address, by its WAL archive, or by both; None for an independent cluster."""
    section, methods = {}, []
    if env.get("STANDBY_METHOD") == "STANDBY_WITH_WALE":
        methods.append("standby_with_wale")
        section["restore_command"] = restore_command(env, STANDBY)
    if host := env.get("STANDBY_HOST"):
        methods.append("basebackup")
        section |= {"host": host, "port": int(env.get("STANDBY_PORT") or 5432)}
        if slot := env.get("STANDBY_PRIMARY_SLOT_NAME"):
            section["primary_slot_name"] = slot
    return {"create_replica_methods": methods} | section if methods else None


def restore(env, kind, major):
    """The command by which Patroni gets a base backup from an archive."""
    if archive(env, kind, major) is None:
        return refusal(f"{kind.rstrip('_')}: no variable names the archive: {NO_WAL_ARCHIVE}")
    to = env.get("CLONE_TARGET_TIME") if kind == CLONE else None
    target = ["--to", to] if to else []
    return {"command": with_archive(env, kind, shlex.join(["/usr/bin/python3", f"{HERE}/restore.py", *target]))}


def restore_command(env, kind, *options):
    """The command by which PostgreSQL gets a WAL segment from an archive."""
    return with_archive(env, kind, " ".join([ARCHIVE, "wal-fetch", *options, '"%f" "%p"']))


def recovery_of_clone(env):
    """Up to the wanted moment, and then the clone is a cluster of its own. An archive that fails is not taken for one that ends."""
    recovery = {
        "restore_command": restore_command(env, CLONE, "--strict"),
        "recovery_target_timeline": "latest",
        "recovery_target_action": "promote",
    }
    if to := env.get("CLONE_TARGET_TIME"):
        recovery["recovery_target_time"] = to
    return recovery


def parameters(env, major):
    """PostgreSQL's parameters that belong to this pod; those of the whole cluster are in bootstrap.dcs."""
    settings = {
        "archive_command": with_archive(env, OWN, f'{ARCHIVE} wal-push "%p"') if archive(env, OWN, major) else "/bin/true",
        "log_line_prefix": "%t [%p]: [%l-1] %c %x %d %u %a %h ",
        "password_encryption": "scram-sha-256",
        "shared_preload_libraries": "pg_stat_statements",
        "ssl": "on",
        "ssl_cert_file": env.get("SSL_CERTIFICATE_FILE") or OWN_CERTIFICATE,
        "ssl_key_file": env.get("SSL_PRIVATE_KEY_FILE") or OWN_KEY,
    }
    if env.get("SSL_CA_FILE"):
        settings["ssl_ca_file"] = env["SSL_CA_FILE"]
    if env.get("SSL_CRL_FILE"):
        settings["ssl_crl_file"] = env["SSL_CRL_FILE"]
    return settings


def pg_hba(env, wanted):
    """Who may connect: every process in the pod, all others over TLS only."""
    # The method md5 accepts both kinds of hashes, scram-sha-256 only its own: needed where passwords are still hashed with md5.
    method = "md5" if password_encryption(wanted) == "md5" else "scram-sha-256"
    return [
        "local all all trust",
        f"local replication {standby(env)} trust",
        f"host all all 127.0.0.1/32 {method}",
        f"host all all ::1/128 {method}",
        f"hostssl replication {standby(env)} all {method}",
        "hostnossl all all all reject",
        # PAM in the published image: a token instead of a password.
        f"hostssl all +{human(env)} all {method}",
        f"hostssl all all all {method}",
    ]


def with_patroni_let_in(lines, env):
    """The lines, and before them those without which Patroni could not manage this pod or its replicas."""
    entries = [line.split() for line in lines]
    needed = []
    if not any(entry[:1] == ["local"] for entry in entries):
        needed += [f"local all {superuser(env)} trust", f"local replication {standby(env)} trust"]
    if not any("replication" in entry[1:2] and entry[0] != "local" for entry in entries):
        needed += [f"hostssl replication {standby(env)} all scram-sha-256"]
    return needed + lines


def password_encryption(wanted):
    """The parameter where it is set, for this pod or for the whole cluster."""
    for section in (wanted, wanted.get("bootstrap", {}).get("dcs", {})):
        value = section.get("postgresql", {}).get("parameters", {}).get("password_encryption")
        if value:
            return value
    return "scram-sha-256"


def version(env, wanted):
    """The major version asked for: PGVERSION, or by the path of the programs as older operators do."""
    if env.get("PGVERSION"):
        return env["PGVERSION"]
    bin_dir = wanted.get("postgresql", {}).get("bin_dir", "")
    if bin_dir.startswith(VERSIONS + "/"):
        return bin_dir.removeprefix(VERSIONS + "/").partition("/")[0]
    return "15"


def data_dir(env):
    return os.path.join(env.get("PGROOT") or "/home/postgres/pgdata/pgroot", "data")


def superuser(env):
    return env.get("PGUSER_SUPERUSER", "postgres")


def standby(env):
    return env.get("PGUSER_STANDBY", "standby")


def human(env):
    return env.get("HUMAN_ROLE") or "zalandos"


def remarks(env):
    """What was asked for and is accepted without effect, a line each for the log."""
    if named := [name for name in NOT_SUPPORTED if env.get(name)]:
        yield f"WAL is not archived to {', '.join(named)}: {NO_WAL_ARCHIVE}"
    if env.get("LOG_S3_BUCKET"):
        yield "logs are not uploaded: PostgreSQL logs to the container's output"
    if env.get("PAM_OAUTH2"):
        yield f"PAM_OAUTH2 is not supported: members of {human(env)} log in with a password"


def refusal(why):
    """A command for Patroni that fails and prints the reason."""
    return {"command": f"sh -c 'echo refused: {why} >&2; exit 1'"}


def parse(name, text):
    """A variable's JSON (or, as Spilo takes it too, YAML) object."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        import yaml  # with Patroni in the image, and there only for this
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise Refused(f"{name} is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise Refused(f"{name} is not an object")
    return value


def labels(text):
    """Labels as a JSON object or as k=v,k=v."""
    if not text:
        return {"application": "spilo"}
    if text.lstrip().startswith("{"):
        return parse("KUBERNETES_LABELS", text)
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def merge(default, wanted):
    """Objects are merged; any other value is replaced."""
    if isinstance(default, dict) and isinstance(wanted, dict):
        return default | {key: merge(default.get(key), value) for key, value in wanted.items()}
    return default if wanted is None else wanted


def is_true(text):
    return (text or "").lower() in ("true", "1", "on", "yes")
