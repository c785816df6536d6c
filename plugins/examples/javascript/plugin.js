// Badge: the labels of the step's configuration on the cluster's objects, and a list of them in a ConfigMap.

// A label has the form that the Kubernetes API demands, so that the host refuses another one with the configuration.
const SCHEMA = {
  type: "object",
  additionalProperties: false,
  properties: {
    labels: {
      type: "object",
      default: {},
      propertyNames: { pattern: "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" },
      additionalProperties: { type: "string", pattern: "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$" },
    },
  },
};

const EXAMPLE = { labels: { "cost-center": "platform", "example.com/tier": "gold" } };

// What the plugin asks for: the labels of one object that an earlier step makes, or a whole object of its own.
const permission = (apiVersion, kind, name, creates) => ({
  kind: { apiVersion, kind },
  names: [name],
  creates,
  fields: creates ? [] : ["metadata.labels"],
  overrides: [],
  removes: [],
  optional: false,
});

export const mutateResources = {
  describe(_host) {
    return {
      name: "badge",
      version: "0.1.0",
      summary: "Labels the objects of a cluster, and lists the labels in a ConfigMap.",
      configSchema: JSON.stringify(SCHEMA),
      configExample: JSON.stringify(EXAMPLE),
      configKeys: [],
      credentials: [],
      relevant: [],
      desired: [],
      observed: [],
      objects: [
        permission("apps/v1", "StatefulSet", "{cluster}", false),
        permission("v1", "Service", "{cluster}", false),
        permission("v1", "ConfigMap", "{cluster}-badge", true),
      ],
      privileges: [],
      actions: [],
      requires: [{ plugin: "spilo", version: ">=0.1" }],
    };
  },

  mutate(request) {
    // The host sees no output: without this an exception would be a trap without a text.
    try {
      return mutate(request);
    } catch (error) {
      throw { tag: "internal", val: String(error) };
    }
  },
};

function mutate(request) {
  const { metadata, spec } = JSON.parse(request.cluster);
  const { labels } = JSON.parse(request.config);
  const keys = Object.keys(labels).sort();
  if (keys.length === 0) return answer([], []);

  const own = metadata.labels ?? {};
  const differs = (key) => Object.hasOwn(own, key) && own[key] !== labels[key];
  const apply = (apiVersion, kind, name, rest) => ({
    tag: "apply",
    val: JSON.stringify({ apiVersion, kind, metadata: { name, labels }, ...rest }),
  });
  const list = keys.map((key) => `${key}=${labels[key]}\n`).join("");
  const contributions = [
    apply("apps/v1", "StatefulSet", metadata.name),
    apply("v1", "Service", metadata.name),
    apply("v1", "ConfigMap", `${metadata.name}-badge`, { data: { labels: list, team: spec.teamId } }),
  ];
  return answer(contributions, keys.filter(differs).map(warning));
}

const answer = (contributions, findings) => ({ contributions, actions: [], findings, conditions: [] });

const warning = (key) => ({
  severity: "warning",
  message: `the manifest has another value of the label ${key} than the step`,
  path: `metadata.labels["${key}"]`,
  object: undefined,
  remedy: "give it the value of the step, or remove it from the manifest",
});
