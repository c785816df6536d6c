"""What the pooler pod's environment becomes: needs no PgBouncer."""

import configparser
import unittest

from entry import Refused, configuration, user_list

NEWEST = {
    "PGHOST": "acid-pooler",
    "PGPORT": "5432",
    "PGUSER": "pooler",
    "PGSCHEMA": "pooler",
    "PGPASSWORD": "secret",
    "CONNECTION_POOLER_PORT": "5432",
    "CONNECTION_POOLER_MODE": "session",
    "CONNECTION_POOLER_DEFAULT_SIZE": "15",
    "CONNECTION_POOLER_MIN_SIZE": "7",
    "CONNECTION_POOLER_RESERVE_SIZE": "7",
    "CONNECTION_POOLER_MAX_CLIENT_CONN": "10000",
    "CONNECTION_POOLER_MAX_DB_CONN": "30",
}


def configured(**changes):
    env = {name: value for name, value in (NEWEST | changes).items() if value is not None}
    ini = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    ini.read_string(configuration(env, "/etc/pgbouncer/userlist.txt", "/run/server.crt", "/run/server.key"))
    return ini


class Entry(unittest.TestCase):
    def test_every_database_is_the_cluster_s_and_the_lookup_account_finds_the_passwords(self):
        ini = configured()
        self.assertEqual(ini["databases"]["*"], "host=acid-pooler port=5432 auth_user=pooler")
        self.assertEqual(ini["pgbouncer"]["auth_query"], "SELECT * FROM pooler.user_lookup($1)")
        self.assertEqual(ini["pgbouncer"]["auth_file"], "/etc/pgbouncer/userlist.txt")

    def test_sizes_and_mode_are_taken_over(self):
        pgbouncer = configured()["pgbouncer"]
        self.assertEqual(
            [pgbouncer[name] for name in
             ("pool_mode", "default_pool_size", "reserve_pool_size", "max_client_conn", "max_db_connections", "listen_port")],
            ["session", "15", "7", "10000", "30", "5432"])

    def test_both_sides_are_encrypted(self):
        pgbouncer = configured()["pgbouncer"]
        self.assertEqual((pgbouncer["client_tls_sslmode"], pgbouncer["server_tls_sslmode"]), ("require", "require"))

    def test_a_certificate_authority_is_passed_on(self):
        pgbouncer = configured(CONNECTION_POOLER_CLIENT_CA_FILE="/tls/ca.crt")["pgbouncer"]
        self.assertEqual(pgbouncer["client_tls_ca_file"], "/tls/ca.crt")

    def test_infrastructure_roles_show_statistics_and_administer_nothing(self):
        pgbouncer = configured(INFRASTRUCTURE_ROLES="ada,metrics")["pgbouncer"]
        self.assertEqual((pgbouncer["stats_users"], pgbouncer["admin_users"]), ("ada,metrics", "pooler"))
        self.assertNotIn("stats_users", configured()["pgbouncer"])

    def test_what_is_missing_is_named(self):
        for name in ("PGHOST", "PGUSER", "PGSCHEMA", "CONNECTION_POOLER_MAX_DB_CONN"):
            with self.assertRaisesRegex(Refused, name):
                configured(**{name: None})

    def test_quotes_in_a_password_are_doubled(self):
        self.assertEqual(user_list({"PGUSER": "pooler", "PGPASSWORD": 'a"b'}), '"pooler" "a""b"\n')


if __name__ == "__main__":
    unittest.main()
