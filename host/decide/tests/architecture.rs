//! The structure of the workspace is as in ARCHITECTURE.md and in the operator's lib.rs: the code map is complete, no room
//! of the operator uses one above it, and `decide` depends on no client, clock or random number.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most entries that the folder `host/operator/src` may have.
const MOST_ENTRIES: usize = 17;

/// Crates that do IO, or whose results differ from run to run.
const IMPURE: [&str; 8] = ["axum", "hyper", "jiff", "kube", "kube-core", "rand", "reqwest", "tokio"];

/// Those that must not be among the dependencies' dependencies either.
const UNREACHABLE: [&str; 9] =
    ["axum", "hyper", "hyper-util", "kube", "kube-client", "kube-runtime", "rand", "reqwest", "tokio"];

/// Folders at the root that hold what was built.
const BUILT: [&str; 2] = ["dist", "target"];

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

/// The modules of a folder: its files without their ending, and its folders. `lib` and `mod` are none, and tests are
/// not mapped.
fn modules(folder: &str) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(repository(folder)) else { return BTreeSet::new() };
    let names = entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| !["lib", "mod", "tests"].contains(&name.as_str())).collect()
}

/// The folders in a folder, without hidden ones.
fn folders(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository(folder)).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    folders.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| !name.starts_with('.')).collect()
}

/// The folders that the code map has to name: those at the root, and of `host`, `plugins` and `tests` those in them.
/// The plugins but the kit share a row.
fn to_be_mapped() -> BTreeSet<String> {
    let mut mapped = BTreeSet::new();
    for folder in folders(".").into_iter().filter(|folder| !BUILT.contains(&folder.as_str())) {
        match &*folder {
            "host" | "tests" => mapped.extend(folders(&folder).iter().map(|inner| format!("{folder}/{inner}"))),
            "plugins" => mapped.extend(["plugins/kit".to_owned(), "plugins/*".to_owned()]),
            _ => drop(mapped.insert(folder)),
        }
    }
    mapped
}

/// The rows of the code map: a folder, and what its row names in back quotes.
fn rows(map: &str) -> BTreeMap<String, Vec<String>> {
    let rows = map.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    rows.map(|(folder, concepts)| (folder.to_owned(), quoted(concepts))).collect()
}

/// The modules that a row names: every `word`, and the first part of every `word/word` and `word/{word,word}`; by it
/// the parts after the slash.
fn mapped(row: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut mapped: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in row {
        let (module, inner) = name.split_once('/').unwrap_or((name, ""));
        let inner = inner.trim_matches(['{', '}']).split(',').filter(|inner| !inner.is_empty());
        mapped.entry(module.to_owned()).or_default().extend(inner.map(str::to_owned));
    }
    mapped
}

/// What differs between names in the code map and those that exist, as sentences.
fn differences(of: &str, mapped: &BTreeSet<String>, existing: &BTreeSet<String>) -> Vec<String> {
    let missing = existing.difference(mapped).map(|name| format!("{of}: {name} is not in the code map"));
    let gone = mapped.difference(existing).map(|name| format!("{of}: the code map names {name}, which does not exist"));
    missing.chain(gone).collect()
}

/// What is untrue in the row of a crate. A row need not name the files of a module's folder, but if it names one of them
/// it names all.
fn row_faults(folder: &str, row: &[String], modules: impl Fn(&str) -> BTreeSet<String>) -> Vec<String> {
    let source = format!("{folder}/src");
    let mapped = mapped(row);
    let mut faults = differences(folder, &mapped.keys().cloned().collect(), &modules(&source));
    for (module, inner) in mapped.into_iter().filter(|(_, inner)| !inner.is_empty()) {
        faults.extend(differences(&format!("{folder}: {module}"), &inner, &modules(&format!("{source}/{module}"))));
    }
    faults
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

/// The crates among the dependencies of a crate, itself included, as `cargo tree` shows them: with the features that it
/// alone asks for, and without what only tests or builds use.
fn tree(package: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository(".")).args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"]);
    let output = cargo.args(["--package", package]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// The crates of a tree that what decides must not reach.
fn reachable(tree: &BTreeSet<String>) -> Vec<&'static str> {
    UNREACHABLE.into_iter().filter(|name| tree.contains(*name)).collect()
}

#[test]
fn the_code_map_names_every_folder_and_no_other() {
    let mapped = rows(&text("ARCHITECTURE.md")).into_keys().collect();
    assert_eq!(differences("the repository", &mapped, &to_be_mapped()), Vec::<String>::new());
}

#[test]
fn the_code_map_names_every_module_of_every_crate_and_no_other() {
    let rows = rows(&text("ARCHITECTURE.md"));
    let crates = rows.iter().filter(|(folder, _)| repository(folder).join("Cargo.toml").exists());
    let faults: Vec<String> = crates.flat_map(|(folder, row)| row_faults(folder, row, modules)).collect();
    assert_eq!(faults, Vec::<String>::new());
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
    let tree = tree("pgloom-decide");
    assert!(tree.len() > 50, "only {} crates were read", tree.len());
    assert_eq!(reachable(&tree), Vec::<&str>::new());
}

mod the_checks_fail {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn set(entries: &[&str]) -> BTreeSet<String> {
        names(entries).into_iter().collect()
    }

    #[test]
    fn for_a_module_that_is_not_in_the_map_and_for_one_that_is_gone() {
        let map = "| `host/x` | what exists → `cache/{store,watch}`, `cache/key`; metrics → `serve` |";
        let existing = |folder: &str| match folder {
            "host/x/src" => set(&["cache", "leader"]),
            "host/x/src/cache" => set(&["store", "key", "index"]),
            _ => unreachable!("{folder} is not asked for"),
        };
        assert_eq!(
            row_faults("host/x", &rows(map)["host/x"], existing),
            [
                "host/x: leader is not in the code map",
                "host/x: the code map names serve, which does not exist",
                "host/x: cache: index is not in the code map",
                "host/x: cache: the code map names watch, which does not exist"
            ]
        );
    }

    #[test]
    fn for_a_folder_that_is_not_in_the_map_and_for_one_that_is_gone() {
        let mapped =
            rows("| folder | concept |\n|---|---|\n| `host/a` | `x` |\n| `host/b` | |\n").into_keys().collect();
        assert_eq!(
            differences("the repository", &mapped, &set(&["host/a", "host/c"])),
            [
                "the repository: host/c is not in the code map",
                "the repository: the code map names host/b, which does not exist"
            ]
        );
    }

    #[test]
    fn for_a_client_that_is_a_dependency_of_a_dependency() {
        assert_eq!(reachable(&tree("pgloom-operator")).first(), Some(&"axum"));
        assert_eq!(reachable(&set(&["pgloom-decide", "kube-core", "tokio"])), ["tokio"]);
    }

    #[test]
    fn for_one_entry_too_many() {
        assert_eq!(crowd(MOST_ENTRIES), None);
        assert_eq!(crowd(MOST_ENTRIES + 1).as_deref(), Some("18 entries, more than 17"));
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
