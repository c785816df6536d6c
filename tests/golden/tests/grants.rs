//! The shipped pipeline spells every grant: what its plugins need, and what of the optional it gives. `UPDATE=1` writes
//! the needed part.

use golden::{differs, engine, report, repository};
use pgloom_api::pipeline::{Document, Grants, Source, Step};
use pgloom_engine::{Plugin, grant};
use serde_json::Value;

/// The grants of a step: what its plugin needs, and of what is optional that which the document gives.
fn grants(step: &Step) -> Grants {
    let Source::File(file) = &step.source else { panic!("{} is not shipped", step.name) };
    let path = repository("dist/plugins").join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; make plugins", path.display()));
    let plugin = Plugin::load(engine(), &bytes, None).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut grants, all) = (grant::needed(&plugin.description), grant::all(&plugin.description));
    let is_extra = |given: &Grants, needed: &Grants| {
        !grant::is_empty(&grant::lacking(given, needed)) && grant::is_empty(&grant::lacking(given, &all))
    };
    for object in &step.grants.objects {
        if is_extra(&Grants { objects: vec![object.clone()], ..Grants::default() }, &grants) {
            grants.objects.push(object.clone());
        }
    }
    for action in &step.grants.actions {
        if is_extra(&Grants { actions: vec![action.clone()], ..Grants::default() }, &grants) {
            grants.actions.push(action.clone());
        }
    }
    grants.privileges.extend(step.grants.privileges.intersection(&all.privileges));
    grants.credentials.extend(step.grants.credentials.intersection(&all.credentials).cloned());
    grants
}

/// The text of the pipeline, with the grants of each step replaced.
fn spelled(text: &str, document: &Document) -> String {
    let mut lines = text.lines().peekable();
    let mut out = String::new();
    for line in lines.by_ref() {
        out.push_str(line);
        out.push('\n');
        if line == "  steps:" {
            break;
        }
    }
    for step in &document.steps {
        let mut begun = false;
        while let Some(line) = lines.next_if(|line| !begun || line.starts_with("    ")) {
            begun |= line.starts_with("  - name: ");
            if line == "    grants:" {
                while lines.next_if(|line| line.starts_with("      ")).is_some() {}
                continue;
            }
            out.push_str(line);
            out.push('\n');
        }
        let grants = grants(step);
        if !grant::is_empty(&grants) {
            out.push_str("    grants:\n");
            out.push_str(&grant::yaml(&grants, 6));
        }
    }
    out
}

#[test]
fn the_shipped_pipeline_spells_every_grant_of_every_step() {
    let file = repository("manifests/pipeline.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let document: Value = serde_yaml_ng::from_str(&text).unwrap();
    let document = Document::read(&document).unwrap_or_else(|problems| panic!("{problems:?}"));
    report(&differs(&file, &spelled(&text, &document)).into_iter().collect::<Vec<_>>());
}
