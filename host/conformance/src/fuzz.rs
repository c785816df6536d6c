//! Values that vary in the same way each time: numbers from a seed, values of a JSON Schema, and changes of a document.

use serde_json::{Map, Value, json};

/// How deep values of a schema are nested.
const MAX_DEPTH: usize = 6;
/// One in so many values is not what the schema says.
const WRONG: usize = 12;
/// The longest value in a sentence, in characters.
const MAX_SHOWN: usize = 100;

/// Texts that readers of texts stumble over.
const TEXTS: [&str; 16] = [
    "",
    " ",
    "a",
    "0",
    "-1",
    "1Gi",
    "null",
    "true",
    "{cluster}",
    "$(HOME)",
    "a\nb",
    "\u{0}",
    "ä🐘",
    "../../etc",
    "'\";--",
    "99999999999999999999",
];

/// Numbers in the order of SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or_default().checked_rem(limit).unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len());
        items.get(index)
    }

    fn text(&mut self) -> String {
        match self.below(TEXTS.len() + 1) {
            index if index < TEXTS.len() => TEXTS.get(index).copied().unwrap_or_default().to_owned(),
            _ => "x".repeat(2000),
        }
    }

    /// Any value of small depth.
    pub fn any(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.below(100)),
            3 => json!(-1),
            4 => json!(i64::MAX),
            5 => json!([]),
            6 => json!({}),
            7 => json!([self.text(), {"name": self.text()}]),
            _ => json!(self.text()),
        }
    }

    /// A value of a JSON Schema, or seldom one that it refuses.
    pub fn of_schema(&mut self, schema: &Value) -> Value {
        self.value(schema, schema, MAX_DEPTH)
    }

    fn value(&mut self, schema: &Value, root: &Value, depth: usize) -> Value {
        let Some(below) = depth.checked_sub(1) else { return Value::Null };
        if depth < MAX_DEPTH && self.below(WRONG) == 0 {
            return self.any();
        }
        let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        if let Some(target) = pointer.and_then(|pointer| root.pointer(pointer)) {
            return self.value(target, root, below);
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        for choice in ["enum", "examples"] {
            if let Some(value) = schema[choice].as_array().and_then(|values| self.pick(values)) {
                return value.clone();
            }
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            if let Some(chosen) = schema[choice].as_array().and_then(|choices| self.pick(choices)) {
                return self.value(&chosen.clone(), root, below);
            }
        }
        if let Some(default) = schema.get("default").filter(|_| self.below(4) == 0) {
            return default.clone();
        }
        self.of_type(schema, root, below)
    }

    fn of_type(&mut self, schema: &Value, root: &Value, depth: usize) -> Value {
        let types = match &schema["type"] {
            Value::String(name) => vec![name.as_str()],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ if schema.get("properties").is_some() => vec!["object"],
            _ => Vec::new(),
        };
        match self.pick(&types).copied() {
            Some("object") => self.object(schema, root, depth),
            Some("array") => {
                let least = schema["minItems"].as_u64().and_then(|least| usize::try_from(least).ok()).unwrap_or(0);
                let length = least + self.below(4);
                (0..length).map(|_| self.value(&schema["items"], root, depth)).collect()
            }
            Some("integer") => self.integer(schema),
            Some("number") => json!(self.below(1000)),
            Some("boolean") => json!(self.below(2) == 0),
            Some("null") => Value::Null,
            Some("string") => json!(self.text()),
            _ => self.any(),
        }
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let bound = |name: &str| schema[name].as_i64();
        match (self.below(4), bound("minimum"), bound("maximum")) {
            (0, Some(least), _) => json!(least),
            (1, _, Some(most)) => json!(most),
            (2, None, _) => json!(-1),
            (_, least, _) => {
                json!(least.unwrap_or_default().saturating_add(i64::try_from(self.below(100)).unwrap_or(1)))
            }
        }
    }

    fn object(&mut self, schema: &Value, root: &Value, depth: usize) -> Value {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&name.as_str()) || self.below(2) == 0 {
                fields.insert(name.clone(), self.value(property, root, depth));
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..self.below(3) {
                let value = self.value(&schema["additionalProperties"], root, depth);
                fields.insert(self.text(), value);
            }
        }
        Value::Object(fields)
    }

    /// A value of the same type, or seldom of another one: a document with it is mostly accepted.
    fn like(&mut self, value: &Value) -> Value {
        if self.below(WRONG) == 0 {
            return self.any();
        }
        match value {
            Value::String(_) => json!(self.text()),
            Value::Bool(flag) => json!(!flag),
            Value::Number(_) => match self.below(4) {
                0 => json!(-1),
                1 => json!(i32::MAX),
                _ => json!(self.below(1000)),
            },
            Value::Array(items) => match items.first() {
                Some(first) if self.below(2) == 0 => json!([first, first]),
                _ => json!([]),
            },
            Value::Object(fields) => {
                let kept = self.below(fields.len().saturating_add(1));
                Value::Object(fields.iter().take(kept).map(|(name, field)| (name.clone(), field.clone())).collect())
            }
            Value::Null => self.any(),
        }
    }

    /// Changes one value at any place of a document, and returns the place and the new value.
    pub fn change(&mut self, document: &mut Value) -> String {
        let mut places = Vec::new();
        collect(document, String::new(), &mut places);
        let place = self.pick(&places).cloned().unwrap_or_default();
        let Some(found) = document.pointer_mut(&place) else { return String::new() };
        *found = self.like(found);
        let value: String = found.to_string().chars().take(MAX_SHOWN).collect();
        format!("{place} = {value}")
    }
}

/// The JSON pointers of every value below a document.
fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| collect(field, format!("{place}/{}", escaped(name)), places));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(item, format!("{place}/{index}"), places));
        }
        _ => {}
    }
    if !place.is_empty() {
        places.push(place);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}});
        let values = || {
            let mut random = Random::new(7);
            (0..20).map(|_| random.of_schema(&schema)).collect::<Vec<_>>()
        };
        assert_eq!(values(), values());
        assert!(values().iter().any(|value| value["a"].is_string() && value["b"].is_i64()));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        Random::new(1).of_schema(&json!({"$ref": "#"}));
        let tree = json!({"type": "object", "properties": {"below": {"$ref": "#"}}, "required": ["below"]});
        Random::new(1).of_schema(&tree);
    }

    #[test]
    fn a_change_names_its_place() {
        let mut document = json!({"a/b": [1]});
        let place = Random::new(3).change(&mut document);
        assert!(place.starts_with("/a~1b"), "{place}");
        assert_ne!(document, json!({"a/b": [1]}));
    }
}
