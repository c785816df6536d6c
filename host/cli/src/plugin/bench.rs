//! `pgloom plugin bench`: what a call of a plugin costs, for every case of its golden folder.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use pgloom_engine::call::{self, Limits};
use pgloom_engine::{Contribution, Plugin, Request, Response};
use pgloom_operator::args::ComponentLimits;

use super::golden::{self, Case};
use super::project::{Project, Target};
use super::test::load;

/// The flags of `pgloom plugin bench`.
#[derive(Args)]
#[command(after_help = "\
Example:
  pgloom plugin bench   case, fuel, microseconds, and the bytes of request and answer, one line per case

Fuel is the number of WebAssembly instructions, the same on every machine; the time is the median of the calls on this one.

Exit codes: 0 measured; 1 not, with the reason; 2 invalid command line")]
pub struct Arguments {
    /// The folder of the plugin
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// How often each case is called
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// What the crate of a plugin in Rust is compiled for; without it wasm32-unknown-unknown
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    #[command(flatten)]
    limits: ComponentLimits,
}

/// Prints a line per case.
pub fn bench(arguments: &Arguments) -> Result<()> {
    let project = Project::of(&arguments.folder)?;
    let (plugin, _) = load(&project, arguments.target, &arguments.limits)?;
    let mut lines =
        format!("{:24} {:>12} {:>12} {:>10} {:>10}\n", "case", "fuel", "microseconds", "bytes in", "bytes out");
    for case in golden::cases(&project)? {
        let Some(request) = request(&case, &plugin)? else {
            bail!("golden/{}: the plugin is not called; see `relevant` of its description", case.name);
        };
        lines.push_str(&measured(&case.name, &plugin, &request, arguments.calls)?);
    }
    crate::output::print(&lines)
}

/// The request of a case, as the host makes it.
fn request(case: &Case, plugin: &Plugin) -> Result<Option<Request>> {
    let seen = Arc::new(Mutex::new(None));
    let sees = Arc::clone(&seen);
    case.decide_with(Plugin::native(plugin.description.clone(), move |request| {
        *sees.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.clone());
        Ok(Response::default())
    }))?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(seen.take())
}

fn measured(name: &str, plugin: &Plugin, request: &Request, calls: u32) -> Result<String> {
    let (mut times, mut fuel, mut output) = (Vec::new(), 0, 0);
    for _ in 0..calls {
        let request = request.clone();
        let begun = Instant::now();
        let reply = plugin.mutate(request, &Limits::default());
        times.push(begun.elapsed());
        fuel = reply.fuel;
        output = match reply.result {
            Ok(answer) => bytes_of(&answer),
            // The plugin's own refusal is an answer, without contributions.
            Err(call::Error::Refuse(_)) => 0,
            Err(error) => bail!("golden/{name}: {error}"),
        };
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).map_or(0, |time| time.as_micros());
    let input = request.cluster.len()
        + request.operator_config.len()
        + request.config.len()
        + request.desired.iter().map(|desired| desired.object.len()).sum::<usize>()
        + request.observed.iter().map(|observed| observed.object.len()).sum::<usize>();
    Ok(format!("{name:24} {fuel:>12} {median:>12} {input:>10} {output:>10}\n"))
}

/// The bytes of what the answer contributes.
fn bytes_of(answer: &Response) -> usize {
    let length = |contribution: &Contribution| match contribution {
        Contribution::Apply(json) => json.len(),
        Contribution::Remove(removal) => removal.path.len(),
    };
    answer.contributions.iter().map(length).sum()
}
