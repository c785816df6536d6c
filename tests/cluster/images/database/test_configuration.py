"""What the pod's environment becomes: needs neither PostgreSQL nor Patroni."""

import json
import unittest

from configuration import Refused, configuration, remarks

MINIMAL = {
    "SCOPE": "acid-minimal-cluster",
    "HOSTNAME": "acid-minimal-cluster-0",
    "PGROOT": "/home/postgres/pgdata/pgroot",
    "POD_IP": "10.244.0.7",
    "POD_NAMESPACE": "shop",
    "PGUSER_SUPERUSER": "postgres",
    "PGPASSWORD_SUPERUSER": "super-secret",
    "PGUSER_STANDBY": "standby",
    "PGPASSWORD_STANDBY": "standby-secret",
    "KUBERNETES_SCOPE_LABEL": "cluster-name",
    "KUBERNETES_ROLE_LABEL": "spilo-role",
    "KUBERNETES_LABELS": '{"application":"spilo"}',
    "HUMAN_ROLE": "zalandos",
    "PGVERSION": "15",
    "DCS_ENABLE_KUBERNETES_API": "true",
    "SPILO_CONFIGURATION": json.dumps({
        "postgresql": {},
        "bootstrap": {
            "initdb": [{"auth-host": "scram-sha-256"}, {"auth-local": "trust"}],
            "dcs": {"failsafe_mode": False},
        },
    }),
}


def configured(spilo=None, **changes):
    """The minimal cluster's configuration with these variables changed; None takes one away."""
    env = MINIMAL | changes
    if spilo is not None:
        env["SPILO_CONFIGURATION"] = json.dumps(spilo)
    return configuration({name: value for name, value in env.items() if value is not None})


class Members(unittest.TestCase):
    def test_a_member_is_named_after_its_pod_and_reached_at_its_address(self):
        config = configured()
        self.assertEqual(config["scope"], "acid-minimal-cluster")
        self.assertEqual(config["name"], "acid-minimal-cluster-0")
        self.assertEqual(config["restapi"]["connect_address"], "10.244.0.7:8008")
        self.assertEqual(config["postgresql"]["connect_address"], "10.244.0.7:5432")
        self.assertEqual(config["postgresql"]["data_dir"], "/home/postgres/pgdata/pgroot/data")

    def test_an_ipv6_address_is_bracketed(self):
        self.assertEqual(configured(POD_IP="fd00::7")["postgresql"]["connect_address"], "[fd00::7]:5432")

    def test_the_secrets_give_the_two_accounts(self):
        self.assertEqual(configured()["postgresql"]["authentication"], {
            "superuser": {"username": "postgres", "password": "super-secret"},
            "replication": {"username": "standby", "password": "standby-secret"},
        })

    def test_a_variable_that_nothing_works_without_is_named(self):
        for name in ("SCOPE", "POD_IP"):
            with self.assertRaisesRegex(Refused, name):
                configured(**{name: None})

    def test_another_store_than_kubernetes_is_refused(self):
        with self.assertRaisesRegex(Refused, "Kubernetes only"):
            configured(DCS_ENABLE_KUBERNETES_API=None, ETCD_HOST="etcd:2379")


class Kubernetes(unittest.TestCase):
    def test_state_lies_in_endpoints_which_name_the_port(self):
        self.assertEqual(configured()["kubernetes"], {
            "namespace": "shop",
            "labels": {"application": "spilo"},
            "scope_label": "cluster-name",
            "role_label": "spilo-role",
            "leader_label_value": "master",
            "standby_leader_label_value": "master",
            "pod_ip": "10.244.0.7",
            "bypass_api_service": False,
            "use_endpoints": True,
            "ports": [{"name": "postgresql", "port": 5432}],
        })

    def test_state_lies_in_config_maps_when_asked(self):
        kubernetes = configured(KUBERNETES_USE_CONFIGMAPS="true")["kubernetes"]
        self.assertNotIn("use_endpoints", kubernetes)
        self.assertNotIn("ports", kubernetes)

    def test_labels_may_be_written_as_pairs(self):
        kubernetes = configured(KUBERNETES_LABELS="application=spilo,environment=test")["kubernetes"]
        self.assertEqual(kubernetes["labels"], {"application": "spilo", "environment": "test"})


class SpiloConfiguration(unittest.TestCase):
    def test_objects_are_merged_deeply_and_the_manifest_wins(self):
        config = configured({"bootstrap": {"dcs": {"ttl": 20, "postgresql": {"parameters": {"max_connections": "10"}}}}})
        dcs = config["bootstrap"]["dcs"]
        self.assertEqual((dcs["ttl"], dcs["loop_wait"]), (20, 10))
        self.assertEqual(dcs["postgresql"]["parameters"]["max_connections"], "10")
        self.assertEqual(dcs["postgresql"]["parameters"]["wal_log_hints"], "on")

    def test_initdb_options_replace_the_default_ones(self):
        self.assertEqual(configured()["bootstrap"]["initdb"], [{"auth-host": "scram-sha-256"}, {"auth-local": "trust"}])

    def test_local_parameters_join_those_that_tls_needs(self):
        parameters = configured({"postgresql": {"parameters": {"shared_buffers": "32MB"}}})["postgresql"]["parameters"]
        self.assertEqual((parameters["shared_buffers"], parameters["ssl"]), ("32MB", "on"))

    def test_users_of_older_operators_are_passed_on(self):
        users = {"zalandos": {"password": "", "options": ["CREATEDB", "NOLOGIN"]}}
        self.assertEqual(configured({"bootstrap": {"users": users}})["bootstrap"]["users"], users)

    def test_an_admin_is_made_when_it_has_a_password(self):
        users = configured(PGUSER_ADMIN="boss", PGPASSWORD_ADMIN="secret")["bootstrap"]["users"]
        self.assertEqual(users, {"boss": {"password": "secret", "options": ["CREATEROLE", "CREATEDB"]}})

    def test_what_is_no_object_is_refused(self):
        with self.assertRaisesRegex(Refused, "SPILO_CONFIGURATION"):
            configured(["not", "an", "object"])

    def test_without_any_the_defaults_stand(self):
        initdb = configured(SPILO_CONFIGURATION=None)["bootstrap"]["initdb"]
        self.assertEqual(initdb, [{"encoding": "UTF8"}, {"locale": "en_US.UTF-8"}, "data-checksums"])


class Versions(unittest.TestCase):
    def bin_dir(self, *arguments, **changes):
        return configured(*arguments, **changes)["postgresql"]["bin_dir"]

    def test_pgversion_chooses_the_programs(self):
        self.assertEqual(self.bin_dir(PGVERSION="17"), "/usr/lib/postgresql/17/bin")

    def test_older_operators_say_it_by_the_path(self):
        spilo = {"postgresql": {"bin_dir": "/usr/lib/postgresql/12/bin"}}
        self.assertEqual(self.bin_dir(spilo, PGVERSION=None), "/usr/lib/postgresql/12/bin")


class Access(unittest.TestCase):
    def lines(self, *arguments, **changes):
        return configured(*arguments, **changes)["postgresql"]["pg_hba"]

    def test_plain_connections_from_elsewhere_are_refused_before_any_other_is_let_in(self):
        self.assertEqual(self.lines(), [
            "local all all trust",
            "local replication standby trust",
            "host all all 127.0.0.1/32 scram-sha-256",
            "host all all ::1/128 scram-sha-256",
            "hostssl replication standby all scram-sha-256",
            "hostnossl all all all reject",
            "hostssl all +zalandos all scram-sha-256",
            "hostssl all all all scram-sha-256",
        ])

    def test_md5_hashes_are_let_in_where_passwords_are_hashed_so(self):
        for spilo in (
            {"postgresql": {"parameters": {"password_encryption": "md5"}}},
            {"bootstrap": {"dcs": {"postgresql": {"parameters": {"password_encryption": "md5"}}}}},
        ):
            self.assertIn("hostssl all all all md5", self.lines(spilo))

    def test_lines_of_the_manifest_replace_all_but_what_patroni_needs(self):
        lines = self.lines({"postgresql": {"pg_hba": ["hostssl all all 0.0.0.0/0 md5"]}})
        self.assertEqual(lines, [
            "local all postgres trust",
            "local replication standby trust",
            "hostssl replication standby all scram-sha-256",
            "hostssl all all 0.0.0.0/0 md5",
        ])

    def test_lines_that_let_patroni_in_are_left_alone(self):
        own = ["local all all trust", "hostssl replication standby all md5", "hostssl all all all md5"]
        self.assertEqual(self.lines({"postgresql": {"pg_hba": own}}), own)


class Certificates(unittest.TestCase):
    def tls(self, **changes):
        parameters = configured(**changes)["postgresql"]["parameters"]
        return {name: value for name, value in parameters.items() if name.startswith("ssl")}

    def test_one_is_made_where_none_is_mounted(self):
        self.assertEqual(self.tls(), {
            "ssl": "on", "ssl_cert_file": "/run/certs/server.crt", "ssl_key_file": "/run/certs/server.key",
        })

    def test_mounted_files_are_used_where_they_are(self):
        tls = self.tls(SSL_CERTIFICATE_FILE="/tls/tls.crt", SSL_PRIVATE_KEY_FILE="/tls/tls.key", SSL_CA_FILE="/tls/ca.crt")
        self.assertEqual(tls, {
            "ssl": "on", "ssl_cert_file": "/tls/tls.crt", "ssl_key_file": "/tls/tls.key", "ssl_ca_file": "/tls/ca.crt",
        })


class Bootstrap(unittest.TestCase):
    def test_the_group_of_people_reaches_the_roles_script(self):
        self.assertIn("human_role=zalandos", configured()["bootstrap"]["post_init"])

    def test_a_clone_takes_a_base_backup(self):
        bootstrap = configured(CLONE_METHOD="CLONE_WITH_BASEBACKUP", CLONE_HOST="acid-source")["bootstrap"]
        self.assertEqual(bootstrap["method"], "clone")
        self.assertIn("clone.py", bootstrap["clone"]["command"])

    def test_a_clone_from_an_archive_is_restored_up_to_the_moment_and_then_promoted(self):
        clone = configured(
            CLONE_METHOD="CLONE_WITH_WALE", CLONE_SCOPE="acid-source", CLONE_WAL_S3_BUCKET="archives",
            CLONE_TARGET_TIME="2026-01-02T03:04:05+01:00",
        )["bootstrap"]["clone"]
        self.assertEqual(clone, {
            "command": "envdir /run/etc/wal-e.d/env-clone-acid-source /usr/bin/python3 /pgloom/restore.py --to 2026-01-02T03:04:05+01:00",
            "recovery_conf": {
                "restore_command": "envdir /run/etc/wal-e.d/env-clone-acid-source"
                ' /usr/bin/python3 /pgloom/archive.py wal-fetch --strict "%f" "%p"',
                "recovery_target_timeline": "latest",
                "recovery_target_action": "promote",
                "recovery_target_time": "2026-01-02T03:04:05+01:00",
            },
        })

    def test_a_clone_from_an_archive_outside_of_s3_fails_telling_why(self):
        for archive in ({}, {"CLONE_WAL_GS_BUCKET": "archives"}):
            command = configured(CLONE_METHOD="CLONE_WITH_WALE", CLONE_SCOPE="acid-source", **archive)["bootstrap"]["clone"]["command"]
            self.assertRegex(command, "refused: .*S3 buckets only.*exit 1")

    def test_an_unknown_way_to_clone_is_refused(self):
        with self.assertRaisesRegex(Refused, "CLONE_METHOD"):
            configured(CLONE_METHOD="CLONE_WITH_MAGIC")

    def test_a_standby_cluster_follows_a_host(self):
        dcs = configured(STANDBY_HOST="acid-source.default", STANDBY_PRIMARY_SLOT_NAME="dr")["bootstrap"]["dcs"]
        self.assertEqual(dcs["standby_cluster"], {
            "create_replica_methods": ["basebackup"], "host": "acid-source.default", "port": 5432, "primary_slot_name": "dr",
        })

    STANDBY = {"STANDBY_METHOD": "STANDBY_WITH_WALE", "STANDBY_WALE_S3_PREFIX": "s3://bucket/path/"}
    FETCH = 'envdir /run/etc/wal-e.d/env-standby /usr/bin/python3 /pgloom/archive.py wal-fetch "%f" "%p"'

    def test_a_standby_cluster_of_an_archive_restores_from_it_and_follows_it(self):
        config = configured(**self.STANDBY)
        self.assertEqual(config["bootstrap"]["dcs"]["standby_cluster"], {
            "create_replica_methods": ["standby_with_wale"], "restore_command": self.FETCH,
        })
        self.assertEqual(config["postgresql"]["standby_with_wale"], {
            "command": "envdir /run/etc/wal-e.d/env-standby /usr/bin/python3 /pgloom/restore.py", "no_leader": True,
        })

    def test_a_standby_cluster_may_stream_and_have_the_archive_behind(self):
        dcs = configured(STANDBY_HOST="acid-source.default", **self.STANDBY)["bootstrap"]["dcs"]
        self.assertEqual(dcs["standby_cluster"], {
            "create_replica_methods": ["standby_with_wale", "basebackup"], "host": "acid-source.default", "port": 5432,
            "restore_command": self.FETCH,
        })

    def test_a_standby_cluster_of_an_archive_outside_of_s3_fails_telling_why(self):
        config = configured(STANDBY_METHOD="STANDBY_WITH_WALE", STANDBY_WALE_GS_PREFIX="gs://bucket/")
        self.assertRegex(config["postgresql"]["standby_with_wale"]["command"], "refused: .*S3 buckets only.*exit 1")

    def test_who_is_told_to_clone_does_not_follow(self):
        dcs = configured(CLONE_METHOD="CLONE_WITH_BASEBACKUP", CLONE_HOST="a", STANDBY_HOST="b")["bootstrap"]["dcs"]
        self.assertNotIn("standby_cluster", dcs)


class Archives(unittest.TestCase):
    def test_wal_goes_to_the_bucket_and_comes_back_from_there(self):
        postgresql = configured(WAL_S3_BUCKET="archives", WAL_BUCKET_SCOPE_SUFFIX="/a-uid")["postgresql"]
        command = "envdir /run/etc/wal-e.d/env /usr/bin/python3 /pgloom/archive.py"
        self.assertEqual(postgresql["parameters"]["archive_command"], f'{command} wal-push "%p"')
        self.assertEqual(postgresql["recovery_conf"], {"restore_command": f'{command} wal-fetch "%f" "%p"'})

    def test_without_a_bucket_wal_is_not_archived(self):
        for changes in ({}, {"WAL_GS_BUCKET": "archives"}):
            postgresql = configured(**changes)["postgresql"]
            self.assertEqual(postgresql["parameters"]["archive_command"], "/bin/true")
            self.assertNotIn("recovery_conf", postgresql)


class Remarks(unittest.TestCase):
    def test_what_has_no_effect_is_said(self):
        said = " ".join(remarks({"WAL_GS_BUCKET": "b", "LOG_S3_BUCKET": "b", "PAM_OAUTH2": "https://tokens.example.com"}))
        for word in ("WAL_GS_BUCKET", "logs", "PAM_OAUTH2"):
            self.assertIn(word, said)

    def test_a_plain_cluster_gives_no_reason_to_talk(self):
        self.assertEqual(list(remarks(MINIMAL)), [])


if __name__ == "__main__":
    unittest.main()
