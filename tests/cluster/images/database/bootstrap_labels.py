"""Puts KUBERNETES_BOOTSTRAP_LABELS on the pod while its data is being made, as Patroni does from 3.3 on: an eviction then waits."""

import json
import os
import ssl
import time
import urllib.request

from configuration import data_dir, labels
from log import log

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PATRONI = "http://127.0.0.1:8008/patroni"


def put_on_pod(env, config):
    """Adds the labels to a pod without data and takes them off once PostgreSQL runs."""
    wanted = labels(env.get("KUBERNETES_BOOTSTRAP_LABELS") or "{}")
    if not wanted:
        return
    name, namespace = config["name"], config["kubernetes"]["namespace"]
    if not os.path.exists(os.path.join(data_dir(env), "PG_VERSION")):
        patch(env, namespace, name, wanted)
    while not is_running():
        time.sleep(1)
    # Also where they were not put on just now: an earlier container of this pod may have ended meanwhile.
    patch(env, namespace, name, dict.fromkeys(wanted))


def is_running():
    try:
        with urllib.request.urlopen(PATRONI, timeout=5) as answer:
            return json.load(answer)["state"] == "running"
    except (OSError, ValueError, KeyError):
        return False


def patch(env, namespace, name, wanted):
    """Only evictions depend on these labels, so a refusal is only logged."""
    request = urllib.request.Request(
        f"https://{address(env)}/api/v1/namespaces/{namespace}/pods/{name}",
        method="PATCH",
        data=json.dumps({"metadata": {"labels": wanted}}).encode(),
        headers={"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {read('token')}"},
    )
    try:
        context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
        urllib.request.urlopen(request, context=context, timeout=10).close()
    except OSError as error:
        log(f"the pod's bootstrap labels could not be changed: {error}")


def address(env):
    host = env["KUBERNETES_SERVICE_HOST"]
    return (f"[{host}]" if ":" in host else host) + ":" + env.get("KUBERNETES_SERVICE_PORT", "443")


def read(name):
    with open(f"{ACCOUNT}/{name}") as file:
        return file.read().strip()
