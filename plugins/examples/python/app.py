"""Badge: the labels of the step's configuration on the cluster's objects, and a list of them in a ConfigMap."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.mutate_resources import (
    Contribution_Apply,
    Description,
    Failure_Internal,
    Finding,
    HostInfo,
    ObjectKind,
    ObjectPermission,
    Request,
    Requirement,
    Response,
    Severity,
)

# A label has the form that the Kubernetes API demands, so that the host refuses another one with the configuration.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "labels": {
            "type": "object",
            "default": {},
            "propertyNames": {
                "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
            },
            "additionalProperties": {
                "type": "string",
                "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
            },
        }
    },
}

EXAMPLE = {"labels": {"cost-center": "platform", "example.com/tier": "gold"}}


def permission(api_version: str, kind: str, name: str, creates: bool) -> ObjectPermission:
    """What the plugin asks for: the labels of one object that an earlier step makes, or a whole object of its own."""
    fields = [] if creates else ["metadata.labels"]
    return ObjectPermission(ObjectKind(api_version, kind), [name], creates, fields, [], [], False)


def warning(key: str) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        message=f"the manifest has another value of the label {key} than the step",
        path=f'metadata.labels["{key}"]',
        object=None,
        remedy="give it the value of the step, or remove it from the manifest",
    )


def mutate(request: Request) -> Response:
    cluster = json.loads(request.cluster)
    labels = json.loads(request.config)["labels"]
    if not labels:
        return Response([], [], [], [])

    name = cluster["metadata"]["name"]
    own = cluster["metadata"].get("labels") or {}

    def apply(api_version: str, kind: str, name: str, **rest) -> Contribution_Apply:
        metadata = {"name": name, "labels": labels}
        return Contribution_Apply(json.dumps({"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}))

    lines = "".join(f"{key}={labels[key]}\n" for key in sorted(labels))
    data = {"labels": lines, "team": cluster["spec"]["teamId"]}
    contributions = [
        apply("apps/v1", "StatefulSet", name),
        apply("v1", "Service", name),
        apply("v1", "ConfigMap", f"{name}-badge", data=data),
    ]
    findings = [warning(key) for key in sorted(labels) if own.get(key, labels[key]) != labels[key]]
    return Response(contributions, [], findings, [])


class MutateResources(exports.MutateResources):
    def describe(self, host: HostInfo) -> Description:
        return Description(
            name="badge",
            version="0.1.0",
            summary="Labels the objects of a cluster, and lists the labels in a ConfigMap.",
            config_schema=json.dumps(SCHEMA),
            config_example=json.dumps(EXAMPLE),
            config_keys=[],
            credentials=[],
            relevant=[],
            desired=[],
            observed=[],
            objects=[
                permission("apps/v1", "StatefulSet", "{cluster}", False),
                permission("v1", "Service", "{cluster}", False),
                permission("v1", "ConfigMap", "{cluster}-badge", True),
            ],
            privileges=[],
            actions=[],
            requires=[Requirement("spilo", ">=0.1")],
        )

    def mutate(self, request: Request) -> Response:
        # The host sees no output: without this an exception would be a trap without a text.
        try:
            return mutate(request)
        except Exception as error:
            raise Err(Failure_Internal(repr(error)))
