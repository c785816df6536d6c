//! docs/contract.md equals the reference that the WIT files and the constants of the engine generate. `UPDATE=1` rewrites it.

use std::fmt::Write as _;

use golden::{differs, here, report, repository};
use pgloom_engine::{Limit, NEWEST_CONTRACT, limits};
use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind, WorldItem, WorldKey};

/// The newest version of the contract.
fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_dir(repository("wit").join(NEWEST_CONTRACT)).unwrap();
    resolve
}

#[test]
fn the_reference_of_the_contract_is_that_of_the_wit_files_and_of_the_engine() {
    report(&differs(&repository("docs/contract.md"), &reference()).into_iter().collect::<Vec<_>>());
}

fn reference() -> String {
    let resolve = contract();
    let (_, package) = resolve.packages.iter().next().unwrap();
    let mut text = std::fs::read_to_string(here("docs/contract.md")).unwrap();
    _ = write!(text, "\n## `{}`\n\n{}", package.name, paragraph(&package.docs));
    for world in package.worlds.values().map(|&world| &resolve.worlds[world]) {
        _ = write!(text, "\nThe world `{}`. {}\n", world.name, paragraph(&world.docs));
        let [imported, exported] = [&world.imports, &world.exports];
        for (verb, items) in [("imports", imported), ("exports", exported)] {
            items.iter().for_each(|(key, item)| _ = writeln!(text, "- {verb} `{}`", item_name(&resolve, key, item)));
        }
    }
    // What a plugin exports is what its author reads first.
    for interface in package.interfaces.values().rev().map(|&interface| &resolve.interfaces[interface]) {
        text.push_str(&section(&resolve, interface));
    }
    text + &table_of_limits()
}

fn item_name(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> String {
    match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.clone().unwrap(),
        _ => resolve.name_world_key(key),
    }
}

fn section(resolve: &Resolve, interface: &Interface) -> String {
    let name = interface.name.as_deref().unwrap();
    let mut text = format!("\n## The interface `{name}`\n\n{}", paragraph(&interface.docs));
    for function in interface.functions.values() {
        let docs = paragraph(&function.docs);
        _ = write!(
            text,
            "\n### The function `{}`\n\n```wit\n{}\n```\n\n{docs}",
            function.name,
            signature(resolve, function)
        );
    }
    for definition in interface.types.values().map(|&definition| &resolve.types[definition]) {
        text.push_str(&type_section(resolve, definition));
    }
    text
}

fn signature(resolve: &Resolve, Function { name, params, result, .. }: &Function) -> String {
    let params: Vec<String> = params.iter().map(|it| format!("{}: {}", it.name, type_name(resolve, &it.ty))).collect();
    let result = result.as_ref().map(|result| format!(" -> {}", type_name(resolve, result))).unwrap_or_default();
    format!("{name}: func({}){result}", params.join(", "))
}

fn type_section(resolve: &Resolve, definition: &TypeDef) -> String {
    let name = definition.name.as_deref().unwrap();
    let (what, entries): (String, String) = match &definition.kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|it| entry(resolve, &it.name, Some(&it.ty), &it.docs));
            ("A record.".to_owned(), fields.collect())
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|it| entry(resolve, &it.name, it.ty.as_ref(), &it.docs));
            ("A variant, one of:".to_owned(), cases.collect())
        }
        TypeDefKind::Enum(choice) => {
            let cases = choice.cases.iter().map(|it| entry(resolve, &it.name, None, &it.docs));
            ("An enum, one of:".to_owned(), cases.collect())
        }
        TypeDefKind::Type(other) => (format!("The same as {}.", linked(resolve, other)), String::new()),
        other => panic!("{name} is a {}, which the reference cannot show yet", other.as_str()),
    };
    let list = if entries.is_empty() { String::new() } else { format!("\n{entries}") };
    let docs = paragraph(&definition.docs);
    let docs = if docs.is_empty() { docs } else { format!("{docs}\n") };
    format!("\n### `{name}`\n\n{docs}{what}\n{list}")
}

/// A field or a case.
fn entry(resolve: &Resolve, name: &str, of: Option<&Type>, docs: &Docs) -> String {
    let of = of.map(|of| format!(", {}", linked(resolve, of))).unwrap_or_default();
    let docs = paragraph(docs).trim().replace('\n', "\n  ").replace("\n  \n", "\n\n");
    let docs = if docs.is_empty() { docs } else { format!(": {docs}") };
    format!("- `{name}`{of}{docs}\n")
}

/// The type as a link to the section of the one that it names.
fn linked(resolve: &Resolve, of: &Type) -> String {
    let name = type_name(resolve, of);
    match section_of(resolve, of) {
        Some(section) => format!("[`{name}`](#{section})"),
        None => format!("`{name}`"),
    }
}

fn section_of(resolve: &Resolve, of: &Type) -> Option<String> {
    let Type::Id(id) = of else { return None };
    let definition = &resolve.types[*id];
    definition.name.clone().or_else(|| match &definition.kind {
        TypeDefKind::List(inner) | TypeDefKind::Option(inner) => section_of(resolve, inner),
        _ => None,
    })
}

/// The type as WIT has it.
fn type_name(resolve: &Resolve, of: &Type) -> String {
    let Type::Id(id) = of else { return format!("{of:?}").to_lowercase() };
    let definition = &resolve.types[*id];
    if let Some(name) = &definition.name {
        return name.clone();
    }
    let name = |of: &Type| type_name(resolve, of);
    match &definition.kind {
        TypeDefKind::List(inner) => format!("list<{}>", name(inner)),
        TypeDefKind::Option(inner) => format!("option<{}>", name(inner)),
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(name).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Result(result) => {
            let [ok, failure] = [&result.ok, &result.err].map(|of| of.as_ref().map_or_else(|| "_".to_owned(), name));
            format!("result<{ok}, {failure}>")
        }
        other => panic!("a {} has no name here; add it", other.as_str()),
    }
}

/// A comment. The lines between the sections of a WIT file are no part of one.
fn paragraph(docs: &Docs) -> String {
    let lines = docs.contents.as_deref().unwrap_or_default().trim().lines();
    lines.filter(|line| !line.starts_with("----")).map(|line| format!("{line}\n")).collect()
}

fn table_of_limits() -> String {
    let mut text =
        "\n## Limits\n\nBeyond a limit a component is not loaded, and a call fails; the error names the limit. \
                    Other steps and other clusters go on.\n\n| of | what | the most | |\n|---|---|---|---|\n"
            .to_owned();
    for Limit { of, what, most, note } in limits() {
        _ = writeln!(text, "| {of} | {what} | {most} | {note} |");
    }
    text
}

#[test]
fn every_section_that_is_linked_is_there() {
    let text = reference();
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    let linked: Vec<&str> = text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(linked.len() > 20 && linked.iter().all(|link| headings.contains(link)), "{linked:?} {headings:?}");
}
