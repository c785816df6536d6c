//! Guests that use up what they are given, do not answer, or answer what cannot be used.

use serde_json::json;

use super::{By, Case, guest, object};
use crate::guest as built;
use crate::script::Script;

/// A text that would begin a new line of the log, move the cursor of a terminal, and end a text in C.
const FORGED: &str = "first\r\nWARN forged line\u{1b}[2J\u{0}\u{9b}last";

fn map() -> Script {
    guest().creates("v1 ConfigMap", &["{cluster}-*"])
}

fn does(act: &str, parameters: (&str, &str, usize, &str)) -> Script {
    map().acts(act, parameters)
}

pub(super) fn cases() -> Vec<Case> {
    [limits(), texts(), conditions(), same()].into_iter().flatten().collect()
}

fn limits() -> Vec<Case> {
    let none = ("", "", 0, "");
    let case = |name, act, says: &'static str| Case::new(name, does(act, none), By::Call, &[says]);
    let object = object("v1 ConfigMap", "acid-orders-x", json!({"data": {"a": "{value}"}})).to_string();
    let (before, after) = object.split_once("\"{value}\"").unwrap_or_default();
    vec![
        case("never returns", "loop", "the plugin took more than 10000000 units of fuel; raise `limits.fuel`")
            .step("limits", json!({"fuel": 10_000_000})),
        case("calls itself without end", "recurse", "the plugin trapped: ")
            .step("limits", json!({"fuel": 100_000_000})),
        Case::new(
            "logs lines of a megabyte without end",
            does("log-large", ("", "a", 1_000_000, "")),
            By::Call,
            &["the plugin took more than 100000000 units of fuel"],
        )
        .step("limits", json!({"fuel": 100_000_000})),
        case("allocates memory without end", "allocate", "the plugin asked for more than 67108864 bytes of memory"),
        Case::new(
            "answers a hundred megabytes",
            does("repeat", ("", "a", 100_000_000, "")),
            By::Call,
            &["the answer is larger than the limit of 4194304 bytes"],
        )
        .step("limits", json!({"memory": "256Mi", "fuel": 10_000_000_000_u64, "deadline": "10s"})),
        Case::new(
            "answers lists in lists, a hundred thousand deep",
            does("repeat", (before, "[", 100_000, after)),
            By::Answer,
            &["the answer has JSON of more than 64 levels, which is the limit; nest it less"],
        ),
        Case::new(
            "answers a text that takes a hundred times its size in the host",
            does("repeat", (&format!("{before}["), "1,", 1_000_000, &format!("1]{after}"))),
            By::Answer,
            &["the answer has more than 20000 values in its JSON, which is the limit; answer with less"],
        ),
        Case::new(
            "asks for a call of ten hours",
            guest(),
            By::Document,
            &["spec.steps[2].limits.deadline", "is longer than a call may take; give at most 10s"],
        )
        .step("limits", json!({"deadline": "10h"})),
        Case::new("asks for fuel without end", guest(), By::Document, &["spec.steps[2].limits.fuel"])
            .step("limits", json!({"fuel": u64::MAX})),
        Case::new(
            "asks for the memory of the node",
            guest(),
            By::Document,
            &["more than a step may have; give at most 512Mi"],
        )
        .step("limits", json!({"memory": "64Gi"})),
    ]
}

fn texts() -> Vec<Case> {
    let forged = || [FORGED, "\n"].concat();
    vec![
        Case::new(
            "panics with a text that would forge lines of the log",
            does("panic", (&forged(), "", 0, "")),
            By::Call,
            &["the plugin trapped: ", "first WARN forged line", "last"],
        ),
        Case::new(
            "fails with a text that would forge lines of the log",
            does("fail", (&forged(), "", 0, "")),
            By::Call,
            &["the plugin refused: first WARN forged line", "last"],
        ),
        Case::new(
            "fails with a text of a megabyte",
            does("fail", ("", "a", 1_000_000, "")),
            By::Call,
            &["the plugin refused: aaaa"],
        ),
        Case::new(
            "contributes what is not text",
            does("bytes", ("", "", 0, "")),
            By::Call,
            &["the plugin trapped: ", "utf-8"],
        ),
        Case::new(
            "floods the log with lines that hold line breaks",
            does("log", (&forged(), "", 20_000, "")),
            By::Harmless,
            &[],
        ),
        Case::new(
            "floods the events with findings",
            (0..1001).fold(map(), |script, _| script.answers("findings", json!("x"))),
            By::Answer,
            &["the answer has 1001 findings, and the limit is 1000"],
        ),
        Case::new(
            "writes a finding that would forge lines of the log",
            map().answers("findings", json!(FORGED)),
            By::Harmless,
            &["first WARN forged line"],
        ),
    ]
}

fn conditions() -> Vec<Case> {
    let case = |name, script, says: &'static str| Case::new(name, script, By::Answer, &[says]);
    vec![
        Case::new(
            "says of the cluster that it is ready",
            map().answers("conditions", json!("Ready")),
            By::Harmless,
            &["hostile/Ready"],
        ),
        case(
            "gives one condition twice, so that the status cannot be written",
            map().answers("conditions", json!("Resized")).answers("conditions", json!("Resized")),
            "the condition Resized is given twice",
        ),
        case(
            "says that it failed",
            map().answers("conditions", json!("Failed")),
            "condition Failed is set by the host",
        ),
        case(
            "writes a line break into the type of a condition",
            map().answers("conditions", json!("A\nB")),
            "condition \"A\\nB\" with reason \"SaysSo\": both must be in CamelCase",
        ),
        case(
            "gives the condition of another step",
            map().answers("conditions", json!("database/Ready")),
            "condition \"database/Ready\" with reason \"SaysSo\": both must be in CamelCase",
        ),
        case(
            "gives a hundred conditions",
            (0..100).fold(map(), |script, number| script.answers("conditions", json!(format!("A{number}")))),
            "the answer has 100 conditions, and the limit is 64",
        ),
    ]
}

/// Guests that want to answer one request in two ways.
fn same() -> Vec<Case> {
    let counts = object("v1 ConfigMap", "acid-orders-count", json!({"data": {"calls": "{count}"}}));
    let grants = json!({"objects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "names": ["{cluster}-*"], "creates": true},
    ]});
    vec![
        Case::new(
            "counts its calls in a static variable",
            does("count", (&counts.to_string(), "", 0, "")),
            By::Harmless,
            &["\"calls\":\"1\""],
        ),
        Case::bytes(
            "reads the clock, random numbers, the environment and folders of the machine",
            built("machine.wasm"),
            By::Harmless,
            &["time 0.0, random 0, environment [], folders []"],
        )
        .step("grants", grants.clone()),
        Case::bytes("opens a socket", built("machine.wasm"), By::Call, &["the empty WASI has no value of this type"])
            .step("grants", grants)
            .step("config", json!({"greeting": "connect"})),
    ]
}
