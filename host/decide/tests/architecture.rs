//! The structure of the host is as in ARCHITECTURE.md and in the operator's lib.rs: the code map is complete, no room
//! of the operator uses one above it, and `decide` depends on no client, clock or random number.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most entries that the folder `host/operator/src` may have.
const MOST_ENTRIES: usize = 16;

/// Crates that do IO, or whose results differ from run to run.
const IMPURE: [&str; 8] = ["axum", "hyper", "jiff", "kube", "kube-core", "rand", "reqwest", "tokio"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// The fault of a folder with this number of entries, if it has too many.
fn crowd(entries: usize) -> Option<String> {
    (entries > MOST_ENTRIES).then(|| format!("{entries} entries, more than {MOST_ENTRIES}"))
}

/// The modules of a folder: its files without their ending, and its folders. `lib` is no module.
fn modules(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(repository(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).filter(|name| name != "lib").collect()
}

/// The modules that ARCHITECTURE.md's code map names in the row of a crate: every `name` or `{name,name}` in
/// backquotes.
fn mapped(map: &str, folder: &str) -> BTreeSet<String> {
    let row = map.lines().find(|line| line.starts_with(&format!("| `{folder}` |"))).unwrap();
    let concepts = row.splitn(3, '|').nth(2).unwrap();
    let quoted = concepts.split('`').skip(1).step_by(2);
    quoted.map(|name| name.split('/').next().unwrap().to_owned()).collect()
}

/// The differences between a row of the code map and the folder, as sentences.
fn map_faults(map: &str, folder: &str, modules: &BTreeSet<String>) -> Vec<String> {
    let mapped = mapped(map, folder);
    let missing = modules.difference(&mapped).map(|name| format!("{folder}: {name} is not in the code map"));
    let gone =
        mapped.difference(modules).map(|name| format!("{folder}: the code map names {name}, which does not exist"));
    missing.chain(gone).collect()
}

/// The rooms in the order that the operator's lib.rs states, from the lowest.
fn stated_order(lib: &str) -> Vec<String> {
    let lines = lib.lines().filter_map(|line| line.strip_prefix("//! ")?.split_once(". `"));
    lines.filter(|(number, _)| number.parse::<u32>().is_ok()).map(|(_, rest)| name_at(rest)).collect()
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}

/// The rooms that a source text uses: `crate::room`, and each of `use crate::{room, room}`.
fn used(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(first_names(list)),
            None => drop(rooms.insert(name_at(rest))),
        }
    }
    rooms
}

/// The first names of a list in braces, inner lists passed over.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (index, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if at_start && !letter.is_whitespace() => {
                names.push(name_at(&list[index..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

/// The uses of a room that is not below the user, as sentences. `sources` are rooms with their source texts. Without
/// such a use there is no cycle.
fn upward_arrows(order: &[String], sources: &[(String, String)]) -> Vec<String> {
    let rank = |room: &str| order.iter().position(|ordered| ordered == room);
    let mut faults = Vec::new();
    for (room, source) in sources {
        for used in used(source).iter().filter(|used| *used != room) {
            match (rank(room), rank(used)) {
                (Some(of_room), Some(of_used)) if of_used < of_room => {}
                (Some(_), Some(_)) => faults.push(format!("{room} uses {used}, which is above it")),
                _ => faults.push(format!("{room} uses {used}, and one of them has no place in the order of lib.rs")),
            }
        }
    }
    faults
}

/// Every source text below a folder with the room that it belongs to; lib.rs belongs to none.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(repository(folder)).unwrap() {
        let path = entry.unwrap().path();
        let room = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut pending = vec![path];
        while let Some(path) = pending.pop() {
            match path.is_dir() {
                true => pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())),
                false if room != "lib" => sources.push((room.clone(), fs::read_to_string(path).unwrap())),
                false => {}
            }
        }
    }
    sources
}

/// The impure crates that a manifest depends on; what only tests use does not count.
fn impure(manifest: &str) -> Vec<&'static str> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let named: BTreeSet<&str> = section.lines().map(|line| line.split(['.', ' ', '=']).next().unwrap()).collect();
    IMPURE.into_iter().filter(|name| named.contains(name)).collect()
}

#[test]
fn the_code_map_names_every_module_of_the_operator_and_of_what_decides_and_no_other() {
    let map = text("ARCHITECTURE.md");
    for folder in ["host/operator", "host/decide"] {
        assert_eq!(map_faults(&map, folder, &modules(&format!("{folder}/src"))), Vec::<String>::new());
    }
}

#[test]
fn the_operator_has_few_rooms_and_each_has_its_place_in_the_order() {
    assert_eq!(crowd(fs::read_dir(repository("host/operator/src")).unwrap().count()), None);
    let order: BTreeSet<String> = stated_order(&text("host/operator/src/lib.rs")).into_iter().collect();
    assert_eq!(order, modules("host/operator/src"));
}

#[test]
fn no_room_of_the_operator_uses_one_above_it() {
    let sources = sources("host/operator/src");
    assert!(sources.len() > 40, "only {} files were read", sources.len());
    assert_eq!(upward_arrows(&stated_order(&text("host/operator/src/lib.rs")), &sources), Vec::<String>::new());
}

#[test]
fn what_decides_depends_on_no_client_no_clock_and_no_random_number() {
    assert_eq!(impure(&text("host/decide/Cargo.toml")), Vec::<&str>::new());
}

mod the_checks_fail {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn for_a_module_that_is_not_in_the_map_and_for_one_that_is_gone() {
        let map = "| `host/x` | what exists → `cache/{store,watch}`; metrics → `serve` |";
        let faults = map_faults(map, "host/x", &names(&["cache", "leader"]).into_iter().collect());
        assert_eq!(
            faults,
            ["host/x: leader is not in the code map", "host/x: the code map names serve, which does not exist"]
        );
    }

    #[test]
    fn for_one_entry_too_many() {
        assert_eq!(crowd(MOST_ENTRIES), None);
        assert_eq!(crowd(MOST_ENTRIES + 1).as_deref(), Some("17 entries, more than 16"));
    }

    #[test]
    fn for_an_arrow_upward_and_so_for_every_circle() {
        let order = stated_order("//! The rooms:\n//! 1. `cache`: what exists\n//! 2. `apply`: writes\n");
        assert_eq!(order, ["cache", "apply"]);
        let source = |room: &str, source: &str| (room.to_owned(), source.to_owned());
        let both = [source("apply", "use crate::cache::Store;"), source("cache", "use crate::apply::{Error, Writer};")];
        assert_eq!(upward_arrows(&order, &both), ["cache uses apply, which is above it"]);
    }

    #[test]
    fn for_a_room_in_a_list_or_in_the_middle_of_a_line_and_for_one_without_a_place() {
        let source = "use crate::{cache::{self, Store}, report};\nfn f() { crate::apply::g() }\n// crate::comment\n";
        assert_eq!(used(source).into_iter().collect::<Vec<_>>(), ["apply", "cache", "report"]);
        let faults = upward_arrows(&names(&["cache"]), &[("cache".to_owned(), "use crate::report;".to_owned())]);
        assert_eq!(faults, ["cache uses report, and one of them has no place in the order of lib.rs"]);
    }

    #[test]
    fn for_a_client_among_the_dependencies_but_not_for_one_that_only_tests_use() {
        let manifest = |name: &str| {
            format!(
                "[package]\nname = \"x\"\n\n[dependencies]\n{name}\nserde.workspace = true\n\n[dev-dependencies]\ntokio.workspace = true\n"
            )
        };
        for name in IMPURE {
            assert_eq!(impure(&manifest(&format!("{name}.workspace = true"))), [name]);
            assert_eq!(impure(&manifest(&format!("{name} = \"1\""))), [name]);
        }
        assert!(impure(&manifest("serde_json.workspace = true")).is_empty());
    }
}
