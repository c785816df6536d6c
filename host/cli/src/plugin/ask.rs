//! The permission that a plugin's description does not ask for, as it is written in the plugin's language.

use pgloom_engine::pipeline::Permission;
use pgloom_engine::{ActionKind, ObjectKind, ObjectPermission};

use super::language::Language;

/// The line to add to the description.
pub fn line(language: Language, permission: &Permission) -> String {
    match language {
        Language::Rust => rust(permission),
        Language::Python => python(permission),
        Language::JavaScript => javascript(permission),
        Language::Go => go(permission),
        Language::C => c(permission),
    }
}

fn rust(permission: &Permission) -> String {
    match permission {
        Permission::Object(asked) => {
            let ObjectKind { api_version, kind } = &asked.kind;
            let of = format!("kind({api_version:?}, {kind:?}), &{:?}", asked.names);
            let parts = [("writes", &asked.fields), ("removes", &asked.removes)];
            match parts.into_iter().find(|(_, paths)| !paths.is_empty()) {
                Some((method, paths)) => format!(".{method}({of}, &{paths:?})"),
                None => format!(".creates({of})"),
            }
        }
        Permission::Privilege(name) => format!(".privilege({name:?})"),
        Permission::Action(kind, subject) => format!(".acts(ActionKind::{}, &{:?})", camel(*kind), subjects(subject)),
    }
}

fn python(permission: &Permission) -> String {
    match permission {
        Permission::Object(ObjectPermission { kind, names, creates, fields, removes, .. }) => {
            let ObjectKind { api_version, kind } = kind;
            let creates = if *creates { "True" } else { "False" };
            format!(
                "objects=[ObjectPermission(ObjectKind({api_version:?}, {kind:?}), {names:?}, {creates}, {fields:?}, [], \
                 {removes:?}, False)]"
            )
        }
        Permission::Privilege(name) => format!("privileges=[PrivilegePermission({name:?}, False)]"),
        Permission::Action(kind, subject) => {
            let kind = kind.name().to_ascii_uppercase().replace('-', "_");
            format!("actions=[ActionPermission(ActionKind.{kind}, {:?}, False)]", subjects(subject))
        }
    }
}

fn javascript(permission: &Permission) -> String {
    match permission {
        Permission::Object(ObjectPermission { kind, names, creates, fields, removes, .. }) => {
            let ObjectKind { api_version, kind } = kind;
            format!(
                "objects: [{{ kind: {{ apiVersion: {api_version:?}, kind: {kind:?} }}, names: {names:?}, creates: \
                 {creates}, fields: {fields:?}, overrides: [], removes: {removes:?}, optional: false }}]"
            )
        }
        Permission::Privilege(name) => format!("privileges: [{{ name: {name:?}, optional: false }}]"),
        Permission::Action(kind, subject) => {
            format!("actions: [{{ kind: {:?}, subjects: {:?}, optional: false }}]", kind.name(), subjects(subject))
        }
    }
}

fn go(permission: &Permission) -> String {
    let texts = |list: &[String]| {
        let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
        format!("texts({})", quoted.join(", "))
    };
    match permission {
        Permission::Object(asked) => {
            let ObjectKind { api_version, kind } = &asked.kind;
            let mut fields = format!("kind: kind({api_version:?}, {kind:?}), names: {}", texts(&asked.names));
            if asked.creates {
                fields += ", creates: true";
            }
            for (name, paths) in [("fields", &asked.fields), ("removes", &asked.removes)] {
                if !paths.is_empty() {
                    fields += &format!(", {name}: {}", texts(paths));
                }
            }
            format!("objects: list(objectPermission{{{fields}}})")
        }
        Permission::Privilege(name) => format!("privileges: list(privilegePermission{{name: text({name:?})}})"),
        Permission::Action(kind, subject) => {
            let (kind, subjects) = (first_lower(&camel(*kind)), texts(&subjects(subject)));
            format!("actions: list(actionPermission{{kind: {kind}, subjects: {subjects}}})")
        }
    }
}

/// A list is an array that stays after the function has returned, and its length.
fn c(permission: &Permission) -> String {
    let mut arrays = String::new();
    let mut array = |name: &str, texts: &[String]| {
        let strings: String =
            texts.iter().enumerate().map(|(at, text)| format!("{name}[{at}] = string({text:?}); ")).collect();
        arrays += &format!("static bindings_string_t {name}[{}]; {strings}", texts.len());
        format!(".{name} = {{{name}, {}}}", texts.len())
    };
    let entry = match permission {
        Permission::Object(asked) => {
            let ObjectKind { api_version, kind } = &asked.kind;
            let mut fields =
                vec![format!(".kind = {{string({api_version:?}), string({kind:?})}}"), array("names", &asked.names)];
            if asked.creates {
                fields.push(".creates = true".to_owned());
            }
            let lists = [("fields", &asked.fields), ("removes", &asked.removes)];
            let lists = lists.into_iter().filter(|(_, paths)| !paths.is_empty());
            fields.extend(lists.map(|(name, paths)| array(name, paths)));
            format!("objects: (exports_plugin_object_permission_t){{{}}}", fields.join(", "))
        }
        Permission::Privilege(name) => {
            format!("privileges: (exports_plugin_privilege_permission_t){{.name = string({name:?})}}")
        }
        Permission::Action(kind, subject) => {
            let kind = kind.name().to_ascii_uppercase().replace('-', "_");
            let subjects = array("subjects", &subjects(subject));
            format!(
                "actions: (exports_plugin_action_permission_t){{.kind = EXPORTS_PLUGIN_ACTION_KIND_{kind}, {subjects}}}"
            )
        }
    };
    arrays + &entry
}

/// The name of a kind in CamelCase.
fn camel(kind: ActionKind) -> String {
    let capital = |part: &str| {
        let (first, rest) = part.split_at_checked(1).unwrap_or_default();
        first.to_ascii_uppercase() + rest
    };
    kind.name().split('-').map(capital).collect()
}

fn first_lower(name: &str) -> String {
    let (first, rest) = name.split_at_checked(1).unwrap_or_default();
    first.to_ascii_lowercase() + rest
}

/// The subjects of an action; a promotion has none.
fn subjects(subject: &str) -> Vec<String> {
    if subject.is_empty() { Vec::new() } else { vec![subject.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_written_as_in_the_example_of_each_language() {
        let creates = ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["{cluster}-badge"]);
        let fields = vec!["metadata.labels".to_owned()];
        let sets = ObjectPermission { creates: false, fields, ..creates.clone() };
        let (creates, sets) = (Permission::Object(creates), Permission::Object(sets));
        let action = Permission::Action(ActionKind::ExpandClaim, "pgdata-{cluster}-*".to_owned());
        let privilege = Permission::Privilege("host-path");
        for (language, permission, expected) in [
            (Language::Rust, &creates, r#".creates(kind("v1", "ConfigMap"), &["{cluster}-badge"])"#),
            (Language::Rust, &sets, r#".writes(kind("v1", "ConfigMap"), &["{cluster}-badge"], &["metadata.labels"])"#),
            (Language::Rust, &action, r#".acts(ActionKind::ExpandClaim, &["pgdata-{cluster}-*"])"#),
            (Language::Rust, &privilege, r#".privilege("host-path")"#),
            (
                Language::Python,
                &creates,
                r#"objects=[ObjectPermission(ObjectKind("v1", "ConfigMap"), ["{cluster}-badge"], True, [], [], [], False)]"#,
            ),
            (
                Language::Python,
                &action,
                r#"actions=[ActionPermission(ActionKind.EXPAND_CLAIM, ["pgdata-{cluster}-*"], False)]"#,
            ),
            (
                Language::JavaScript,
                &sets,
                r#"objects: [{ kind: { apiVersion: "v1", kind: "ConfigMap" }, names: ["{cluster}-badge"], creates: false, fields: ["metadata.labels"], overrides: [], removes: [], optional: false }]"#,
            ),
            (
                Language::Go,
                &creates,
                r#"objects: list(objectPermission{kind: kind("v1", "ConfigMap"), names: texts("{cluster}-badge"), creates: true})"#,
            ),
            (
                Language::C,
                &creates,
                r#"static bindings_string_t names[1]; names[0] = string("{cluster}-badge"); objects: (exports_plugin_object_permission_t){.kind = {string("v1"), string("ConfigMap")}, .names = {names, 1}, .creates = true}"#,
            ),
        ] {
            assert_eq!(line(language, permission), expected);
        }
    }
}
