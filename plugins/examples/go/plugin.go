// Badge: the labels of the step's configuration on the cluster's objects, and a list of them in a ConfigMap.
package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The JSON Schema of the step's configuration. A label has the form that the Kubernetes API demands, so that the host
// refuses another one with the configuration.
//
//go:embed schema.json
var schema string

const example = `{"labels": {"cost-center": "platform", "example.com/tier": "gold"}}`

type labels map[string]string

type metadata struct {
	Name   string `json:"name"`
	Labels labels `json:"labels"`
}

type object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string]string `json:"data,omitempty"`
}

// The parts of the manifest that the plugin reads.
type manifest struct {
	Metadata metadata
	Spec     struct{ TeamID string }
}

func describe() description {
	return description{
		name:          text("badge"),
		version:       text("0.1.0"),
		summary:       text("Labels the objects of a cluster, and lists the labels in a ConfigMap."),
		configSchema:  text(schema),
		configExample: text(example),
		objects: list(
			objectPermission{kind: kind("apps/v1", "StatefulSet"), names: texts("{cluster}"), fields: texts("metadata.labels")},
			objectPermission{kind: kind("v1", "Service"), names: texts("{cluster}"), fields: texts("metadata.labels")},
			objectPermission{kind: kind("v1", "ConfigMap"), names: texts("{cluster}-badge"), creates: true},
		),
		requires: list(requirement{plugin: text("spilo"), version: text(">=0.1")}),
	}
}

func kind(apiVersion, kind string) objectKind {
	return objectKind{apiVersion: text(apiVersion), kind: text(kind)}
}

func mutate(clusterJSON, configJSON []byte) response {
	var cluster manifest
	var config struct{ Labels labels }
	read(clusterJSON, &cluster)
	read(configJSON, &config)
	if len(config.Labels) == 0 {
		return response{}
	}

	name := cluster.Metadata.Name
	apply := func(apiVersion, kind, name string, data map[string]string) contribution {
		object, err := json.Marshal(object{apiVersion, kind, metadata{name, config.Labels}, data})
		check(err)
		return contribution{object: text(string(object))}
	}
	var lines strings.Builder
	var findings []finding
	for _, key := range slices.Sorted(maps.Keys(config.Labels)) {
		value := config.Labels[key]
		fmt.Fprintf(&lines, "%s=%s\n", key, value)
		if own, exists := cluster.Metadata.Labels[key]; exists && own != value {
			findings = append(findings, finding{
				severity: warning,
				message:  text("the manifest has another value of the label " + key + " than the step"),
				path:     some(`metadata.labels["` + key + `"]`),
				remedy:   some("give it the value of the step, or remove it from the manifest"),
			})
		}
	}
	return response{
		contributions: list(
			apply("apps/v1", "StatefulSet", name, nil),
			apply("v1", "Service", name, nil),
			apply("v1", "ConfigMap", name+"-badge", map[string]string{"labels": lines.String(), "team": cluster.Spec.TeamID}),
		),
		findings: list(findings...),
	}
}

func read(text []byte, value any) { check(json.Unmarshal(text, value)) }

// The host gives valid JSON, so this is a fault of the plugin.
func check(err error) {
	if err != nil {
		panic(err)
	}
}
