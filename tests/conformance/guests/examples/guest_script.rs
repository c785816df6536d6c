//! Does what the script in its bytes says. The tests write the script into the built component (`conformance::script`),
//! so that every behaviour is a component of its own, and one build is sufficient for all of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use conformance_guests::read::{description, response, text};
use pgloom_kit::Value;
use pgloom_kit::bindings::contract::{Contribution, Description, Failure, Guest, HostInfo, Request, Response};
use pgloom_kit::bindings::pgloom::plugin::log::{Level, log};

/// By which the tests find the place of the script.
const MARKER: &[u8] = b"pgloom-conformance-script:";
/// The bytes of the marker and the script.
const SIZE: usize = 16 << 10;
static SCRIPT: [u8; SIZE] = place();

const fn place() -> [u8; SIZE] {
    // Spaces, because a JSON text may end with them.
    let mut place = [b' '; SIZE];
    let mut at = 0;
    while at < MARKER.len() {
        place[at] = MARKER[at];
        at += 1;
    }
    place
}

fn script() -> Value {
    let bytes = std::hint::black_box(&SCRIPT);
    let text = std::str::from_utf8(&bytes[MARKER.len()..]).unwrap_or_default();
    pgloom_kit::json::parse(text).unwrap_or_default()
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Scripted;

impl Guest for Scripted {
    fn describe(host: HostInfo) -> Result<Description, String> {
        let _ = host;
        Ok(description(&script()["description"]))
    }

    fn mutate(request: Request) -> Result<Response, Failure> {
        let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let script = script();
        let (act, with) = script["act"].as_object().and_then(|act| act.iter().next()).unwrap_or_else(|| unreachable!());
        let size = || usize::try_from(with["size"].as_u64().unwrap_or_default()).unwrap_or_default();
        match act.as_str() {
            // Answers this, with `{cluster}` in contributions replaced by the cluster's name, `{observed}` by the number of
            // existing objects, and `{states}` in keys of actions by the number of states.
            "answer" => Ok(filled(response(with), &request)),
            // The same, but nothing unless there is an existing object.
            "answer-if-observed" if request.observed.is_empty() => Ok(response(&Value::Null)),
            "answer-if-observed" => Ok(filled(response(with), &request)),
            // Panics if the step's configuration has the text.
            "panic-on-config" if request.config.contains(&text(&with["unit"])) => {
                log(Level::Error, &text(&with["before"]));
                std::process::abort()
            }
            // Panics if the manifest has more bytes.
            "panic-on-large" if request.cluster.len() > size() => {
                log(Level::Error, &text(&with["before"]));
                std::process::abort()
            }
            // Contributes `before` if the manifest has the text.
            "contribute-on-manifest" if request.cluster.contains(&text(&with["unit"])) => {
                Ok(contributes(text(&with["before"])))
            }
            "panic-on-config" | "panic-on-large" | "contribute-on-manifest" => Ok(response(&Value::Null)),
            "fail" => Err(Failure::Internal(text(&with["before"]) + &text(&with["unit"]).repeat(size()))),
            // As the hook of the kit's plugins does: a panic is logged, and then it is a trap.
            "panic" => {
                log(Level::Error, &text(&with["before"]));
                std::process::abort()
            }
            "loop" => loop {
                std::hint::black_box(count);
            },
            "recurse" => Ok(contributes(recurse(count).to_string())),
            "allocate" => {
                let mut held = Vec::new();
                loop {
                    held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "log" => {
                (0..size()).for_each(|_| log(Level::Info, &text(&with["before"])));
                Ok(response(&Value::Null))
            }
            // Logs `unit` this many times as one line, without end.
            "log-large" => {
                let line = text(&with["unit"]).repeat(size());
                loop {
                    log(Level::Error, &line);
                }
            }
            // Contributes `before`, `unit` this many times, and `after`, as one text.
            "repeat" => Ok(contributes(
                [text(&with["before"]), text(&with["unit"]).repeat(size()), text(&with["after"])].concat(),
            )),
            // Contributes the text with `{count}` replaced by the number of calls of this instance, including this one.
            "count" => Ok(contributes(text(&with["before"]).replace("{count}", &count.to_string()))),
            // Contributes bytes that are not UTF-8.
            // SAFETY: the host checks every text of an answer, and the guest itself does not read this one.
            "bytes" => Ok(contributes(unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0x80]) })),
            _ => unreachable!(),
        }
    }
}

fn filled(mut response: Response, request: &Request) -> Response {
    let cluster = pgloom_kit::json::parse(&request.cluster).unwrap_or_default();
    let name = text(&cluster["metadata"]["name"]);
    for contribution in &mut response.contributions {
        if let Contribution::Apply(object) = contribution {
            *object = object.replace("{cluster}", &name).replace("{observed}", &request.observed.len().to_string());
        }
    }
    for action in &mut response.actions {
        action.key = action.key.replace("{states}", &request.actions.len().to_string());
    }
    response
}

fn contributes(object: String) -> Response {
    Response { contributions: vec![Contribution::Apply(object)], ..response(&Value::Null) }
}

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let below = std::hint::black_box(recurse as fn(usize) -> usize);
    below(depth + 1) + std::hint::black_box(depth)
}

#[cfg(target_arch = "wasm32")]
pgloom_kit::bindings::export_plugin!(Scripted with_types_in pgloom_kit::bindings);
