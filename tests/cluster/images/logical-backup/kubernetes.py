"""Our own pod and those of the cluster, from the Kubernetes API."""

import json
import os
import socket
import ssl
import urllib.parse
import urllib.request

from plan import Pod, Refused

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
ROLE_LABEL = "spilo-role"


def own_node_and_cluster_pods(env):
    """The node that we run on, and the pods of the cluster SCOPE that have a role."""
    own = get(env, f"pods/{env.get('HOSTNAME') or socket.gethostname()}")
    selector = f"{env.get('CLUSTER_NAME_LABEL') or 'cluster-name'}={env['SCOPE']},{ROLE_LABEL}"
    found = get(env, "pods?" + urllib.parse.urlencode({"labelSelector": selector}))
    return own["spec"].get("nodeName"), [pod(item) for item in found["items"]]


def pod(item):
    return Pod(
        name=item["metadata"]["name"],
        role=item["metadata"]["labels"][ROLE_LABEL],
        node=item["spec"].get("nodeName"),
        address=item["status"].get("podIP"),
    )


def get(env, path):
    host = env.get("KUBERNETES_SERVICE_HOST", "")
    host = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"https://{host}:{env.get('KUBERNETES_SERVICE_PORT', '443')}/api/v1/namespaces/{env['POD_NAMESPACE']}/{path}",
        headers={"Authorization": f"Bearer {read('token')}"},
    )
    try:
        context = ssl.create_default_context(cafile=os.path.join(ACCOUNT, "ca.crt"))
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return json.load(answer)
    except OSError as error:
        raise Refused(f"asking the Kubernetes API for {path}: {error}") from error


def read(name):
    with open(os.path.join(ACCOUNT, name)) as file:
        return file.read().strip()
