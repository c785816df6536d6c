"""Inserts rows one after another, each in a transaction of its own, and writes down which ones were acknowledged."""

import os
import select
import sys
import time

import psycopg2
from psycopg2 import extensions

# The first one that accepts a connection is used; the others are used only while it does not.
HOSTS = os.environ["HOSTS"].split(",")
ACKNOWLEDGED = "/tmp/acknowledged"
# The longest time in seconds that a statement may take: a connection can hang when its server stops.
LIMIT = 5


def wait(connection):
    """Waits for the server as psycopg2 does by default, with a deadline."""
    deadline = time.monotonic() + LIMIT
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise psycopg2.OperationalError(f"no answer in {LIMIT} seconds")
        sockets = [connection.fileno()]
        if state == extensions.POLL_READ:
            select.select(sockets, [], [], left)
        else:
            select.select([], sockets, [], left)


def connect():
    """A connection and the host that it leads to."""
    for host in HOSTS:
        try:
            connection = psycopg2.connect(host=host, dbname="written", sslmode="require", connect_timeout=3)
            connection.autocommit = True
            return host, connection
        except psycopg2.Error as error:
            failure = error
    raise failure


def execute(connection, statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def main():
    extensions.set_wait_callback(wait)
    host, connection, row = None, None, 0
    with open(ACKNOWLEDGED, "w", buffering=1) as acknowledged:
        while True:
            row += 1
            try:
                if connection is None:
                    host, connection = connect()
                    execute(connection, "create table if not exists written (id bigint primary key)")
                execute(connection, "insert into written values (%s)", row)
                acknowledged.write(f"{row} {time.time():.3f} {host}\n")
            except psycopg2.Error as error:
                print(f"{time.strftime('%H:%M:%S')} row {row}: {error}".strip(), file=sys.stderr, flush=True)
                failed = True
            else:
                failed = False
            if connection is not None and (failed or host != HOSTS[0]):
                connection.close()
                connection = None
            time.sleep(0.1 if failed else 0.02)


if __name__ == "__main__":
    main()
