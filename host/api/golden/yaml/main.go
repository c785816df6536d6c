// Records how kubectl's YAML library reads texts: `go run . recorded.json` writes the values of the texts in the file anew.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"

	"sigs.k8s.io/yaml"
)

type entry struct {
	Text  string          `json:"text"`
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

func main() {
	path := os.Args[1]
	content, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	var entries []entry
	if err := json.Unmarshal(content, &entries); err != nil {
		log.Fatal(err)
	}
	var out bytes.Buffer
	for index, entry := range entries {
		entry.Value, entry.Error = nil, ""
		if entry.Value, err = yaml.YAMLToJSON([]byte(entry.Text)); err != nil {
			entry.Value, entry.Error = nil, err.Error()
		}
		line, err := json.Marshal(entry)
		if err != nil {
			log.Fatal(err)
		}
		separator := ",\n"
		if index == 0 {
			separator = "[\n"
		}
		out.WriteString(separator)
		out.Write(line)
	}
	out.WriteString("\n]\n")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
