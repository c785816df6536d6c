// Badge: the labels of the step's configuration on the cluster's objects, and a list of them in a ConfigMap.
#include <stdlib.h>

#include "bindings.h"
#include "json.h"

// A label has the form that the Kubernetes API demands, so that the host refuses another one with the configuration.
static const char SCHEMA[] =
    "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\"labels\": {"
    "\"type\": \"object\", \"default\": {},"
    "\"propertyNames\": {\"pattern\":"
    " \"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$\"},"
    "\"additionalProperties\": {\"type\": \"string\","
    " \"pattern\": \"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$\"}}}}";

static const char EXAMPLE[] = "{\"labels\": {\"cost-center\": \"platform\", \"example.com/tier\": \"gold\"}}";

// The host makes an instance for each call: what a result refers to is never freed, so it may be constant.
void __wasm_export_exports_plugin_describe_post_return(uint8_t *result) { (void)result; }
void __wasm_export_exports_plugin_mutate_post_return(uint8_t *result) { (void)result; }

// `pgloom plugin build` adds the types of the world; the bindings ask for an object file with them.
void __component_type_object_force_link_bindings(void) {}

static bindings_string_t string(const char *text) {
  part whole = part_of(text);
  return (bindings_string_t){(uint8_t *)whole.start, whole.length};
}

static bindings_string_t string_of(text from) { return (bindings_string_t){(uint8_t *)from.start, from.length}; }

static part part_of_string(bindings_string_t from) { return (part){(const char *)from.ptr, from.len}; }

bool exports_plugin_describe(exports_plugin_host_info_t *host, exports_plugin_description_t *description,
                             bindings_string_t *error) {
  static bindings_string_t cluster[1], own[1], fields[1];
  static exports_plugin_object_permission_t objects[3];
  static exports_plugin_requirement_t requires[1];
  (void)host;
  (void)error;

  cluster[0] = string("{cluster}");
  own[0] = string("{cluster}-badge");
  fields[0] = string("metadata.labels");
  objects[0] = (exports_plugin_object_permission_t){
      .kind = {string("apps/v1"), string("StatefulSet")}, .names = {cluster, 1}, .fields = {fields, 1}};
  objects[1] = (exports_plugin_object_permission_t){
      .kind = {string("v1"), string("Service")}, .names = {cluster, 1}, .fields = {fields, 1}};
  objects[2] = (exports_plugin_object_permission_t){
      .kind = {string("v1"), string("ConfigMap")}, .names = {own, 1}, .creates = true};
  requires[0] = (exports_plugin_requirement_t){string("spilo"), string(">=0.1")};
  *description = (exports_plugin_description_t){
      .name = string("badge"),
      .version = string("0.1.0"),
      .summary = string("Labels the objects of a cluster, and lists the labels in a ConfigMap."),
      .config_schema = string(SCHEMA),
      .config_example = string(EXAMPLE),
      .objects = {objects, 3},
      .requires_ = {requires, 1},
  };
  return true;
}

// An object with the labels, and with more fields after its metadata. The name is the cluster's with a suffix.
static exports_plugin_contribution_t apply(const char *kind, part name, const char *suffix, part labels, text fields) {
  text object = {0};
  text_add(&object, "{", kind, ",\"metadata\":{\"name\":\"", NULL);
  text_add_part(&object, name);
  text_add(&object, suffix, "\",\"labels\":", NULL);
  text_add_part(&object, labels);
  text_add(&object, "}", NULL);
  text_add_part(&object, (part){fields.start, fields.length});
  text_add(&object, "}", NULL);
  return (exports_plugin_contribution_t){.tag = EXPORTS_PLUGIN_CONTRIBUTION_APPLY, .val.apply = string_of(object)};
}

static exports_plugin_finding_t warning(part key) {
  text message = {0}, path = {0};
  text_add(&message, "the manifest has another value of the label ", NULL);
  text_add_part(&message, key);
  text_add(&message, " than the step", NULL);
  text_add(&path, "metadata.labels[\"", NULL);
  text_add_part(&path, key);
  text_add(&path, "\"]", NULL);
  return (exports_plugin_finding_t){
      .severity = EXPORTS_PLUGIN_SEVERITY_WARNING,
      .message = string_of(message),
      .path = {true, string_of(path)},
      .remedy = {true, string("give it the value of the step, or remove it from the manifest")},
  };
}

bool exports_plugin_mutate(exports_plugin_request_t *request, exports_plugin_response_t *response,
                           exports_plugin_failure_t *failure) {
  (void)failure;
  part cluster = part_of_string(request->cluster);
  part metadata = json_get(cluster, "metadata");
  part name = json_inside(json_get(metadata, "name"));
  part existing = json_get(metadata, "labels");
  part labels = json_get(part_of_string(request->config), "labels");

  // The host sorts the keys. Keys and values have no character that JSON writes in another way.
  text data = {0};
  text_add(&data, ",\"data\":{\"team\":", NULL);
  text_add_part(&data, json_get(json_get(cluster, "spec"), "teamId"));
  text_add(&data, ",\"labels\":\"", NULL);
  exports_plugin_finding_t *findings = NULL;
  size_t found = 0, count = 0;
  part rest = labels, key, value;
  for (; json_next(&rest, &key, &value); count++) {
    text_add_part(&data, key);
    text_add(&data, "=", NULL);
    text_add_part(&data, json_inside(value));
    text_add(&data, "\\n", NULL);
    part own, remaining = existing, own_key;
    while (json_next(&remaining, &own_key, &own)) {
      if (!part_equals(own_key, key) || part_equals(own, value)) continue;
      findings = realloc(findings, (found + 1) * sizeof *findings);
      if (findings == NULL) abort();
      findings[found++] = warning(key);
    }
  }
  text_add(&data, "\"}", NULL);

  *response = (exports_plugin_response_t){0};
  if (count == 0) return true;
  static exports_plugin_contribution_t contributions[3];
  text nothing = {0};
  contributions[0] = apply("\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\"", name, "", labels, nothing);
  contributions[1] = apply("\"apiVersion\":\"v1\",\"kind\":\"Service\"", name, "", labels, nothing);
  contributions[2] = apply("\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"", name, "-badge", labels, data);
  response->contributions = (exports_plugin_list_contribution_t){contributions, 3};
  response->findings = (exports_plugin_list_finding_t){findings, found};
  return true;
}
