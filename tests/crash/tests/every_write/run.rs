//! Runs all points on all processors, and prints the results.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use stand_in::State;

use crate::end::{self, End, differences};
use crate::fault::Fault;
use crate::operation::{self, Operation};
use crate::operator::{self, Folders};
use crate::play::{Play, Played, play};

/// The number of points of each operation and fault that are tried by default.
const SAMPLE: usize = 4;
/// The number of printed differences per point, unless `CRASH_ONLY` is set.
const SHOWN: usize = 3;

/// An operation, the world before it, and the end state of a run without faults.
struct Reference {
    operation: Operation,
    before: State,
    end: End,
    /// The writes, each with the number of its occurrence.
    writes: Vec<String>,
}

/// One point: an operation, a fault and a write.
#[derive(Clone, Copy)]
struct Point {
    reference: usize,
    fault: Fault,
    /// Counted from one.
    at: usize,
}

/// The result of a point.
enum Verdict {
    Converged,
    NotReached,
    Diverged(Vec<String>),
}

/// The points to try.
struct Wish {
    all: bool,
    only: Option<(String, Option<String>)>,
}

impl Wish {
    fn of_environment() -> Self {
        let only = std::env::var("CRASH_ONLY").ok().filter(|text| !text.is_empty());
        let parts = only.map(|text| match text.split_once('/') {
            Some((operation, fault)) => (operation.to_owned(), Some(fault.to_owned())),
            None => (text, None),
        });
        Self { all: std::env::var("CRASH_POINTS").is_ok_and(|points| points == "all"), only: parts }
    }

    fn wants(&self, operation: &str, fault: Fault) -> bool {
        self.only.as_ref().is_none_or(|(name, of)| {
            (name == operation || name == "*") && of.as_ref().is_none_or(|of| of == fault.name())
        })
    }

    /// The writes that are tried, counted from one: the first, the last and some evenly between.
    fn points(&self, reference: &Reference) -> Vec<usize> {
        let writes = reference.writes.len();
        if self.all || writes <= SAMPLE {
            return (1..=writes).collect();
        }
        (0..SAMPLE).map(|number| 1 + number * (writes - 1) / (SAMPLE - 1)).collect()
    }
}

/// Runs everything.
///
/// # Errors
/// If a run cannot be started, or a point fails.
pub fn run() -> Result<()> {
    let begun = Instant::now();
    operator::log();
    let scratch = tempfile::tempdir()?;
    let folders = Folders::of_repository(scratch.path())?;
    let wish = Wish::of_environment();
    let references = references(&wish, &folders)?;
    println!("{} operations without a fault: {} s", references.len(), begun.elapsed().as_secs());
    let mut points = Vec::new();
    let mut skipped = 0;
    for (number, reference) in references.iter().enumerate() {
        for fault in Fault::ALL
            .into_iter()
            .filter(|fault| applies(*fault, reference) && wish.wants(reference.operation.name, *fault))
        {
            let tried = wish.points(reference);
            skipped += reference.writes.len() - tried.len();
            points.extend(tried.into_iter().map(|at| Point { reference: number, fault, at }));
        }
    }
    let verdicts = on_all_processors(&points, |point| try_point(point, &references, &folders));
    let verdicts: Vec<Verdict> = verdicts.into_iter().collect::<Result<_>>()?;
    print_table(&references, &points, &verdicts);
    println!("{} points tried, {skipped} skipped; {} s", points.len(), begun.elapsed().as_secs());
    judge(&references, &points, &verdicts, wish.only.is_some())
}

/// Whether a fault can be injected into an operation: a deletion by the user cannot be one of a deletion.
fn applies(fault: Fault, reference: &Reference) -> bool {
    fault != Fault::Deleted || reference.operation.after.is_some()
}

/// Runs every selected operation without a fault.
fn references(wish: &Wish, folders: &Folders) -> Result<Vec<Reference>> {
    let operations: Vec<Operation> = operation::all()
        .into_iter()
        .filter(|operation| Fault::ALL.into_iter().any(|fault| wish.wants(operation.name, fault)))
        .collect();
    let mut specifications: Vec<Value> = operations.iter().filter_map(|operation| operation.before.clone()).collect();
    specifications.sort_by_key(Value::to_string);
    specifications.dedup();
    // The first one compiles the plugins for all.
    warm_up(folders)?;
    let created = on_all_processors(&specifications, |specification| {
        let after = Some(specification.clone());
        let create = Operation { name: "create", before: None, leader: 0, after, rotates: false, writes: &[] };
        play(Play { before: operation::empty(), operation: create, fault: None }, folders).map(|played| played.end)
    });
    let created: Vec<State> = created.into_iter().collect::<Result<_>>()?;
    let created: BTreeMap<String, State> = specifications.iter().map(Value::to_string).zip(created).collect();
    let played = on_all_processors(&operations, |operation| {
        let before = match &operation.before {
            None => operation::empty(),
            Some(specification) => {
                let mut state = created.get(&specification.to_string()).cloned().unwrap_or_default();
                operation::lead(&mut state, operation.leader);
                state
            }
        };
        let played = play(Play { before: before.clone(), operation: operation.clone(), fault: None }, folders)?;
        reference(operation, before, &played)
    });
    played.into_iter().collect()
}

fn warm_up(folders: &Folders) -> Result<()> {
    let create = operation::all().into_iter().next().context("there is no operation")?;
    play(Play { before: operation::empty(), operation: create, fault: None }, folders).map(drop)
}

fn reference(operation: &Operation, before: State, played: &Played) -> Result<Reference> {
    if !played.rests {
        let last: Vec<&str> = played.writes.iter().rev().take(8).map(|write| &*write.what).collect();
        bail!("{}: something is written all the time, without any fault: {last:?}", operation.name);
    }
    if !played.takes_edits {
        bail!("{}: another edit is not taken any more, without any fault", operation.name);
    }
    let is_written = |part: &str| played.writes.iter().any(|write| write.what.contains(part));
    if let Some(missing) = operation.writes.iter().find(|part| !is_written(part)) {
        bail!("{}: there is no write like {missing}, so it would not be tested", operation.name);
    }
    if operation.rotates
        && let Some(kept) = end::kept_passwords(&played.end, played.edited_at).first()
    {
        bail!("{}: {kept}", operation.name);
    }
    let mut writes: Vec<String> = Vec::new();
    for write in &played.writes {
        let before = played.writes.iter().take(writes.len()).filter(|other| other.what == write.what).count();
        writes.push(format!("{} #{}", write.what, before + 1));
    }
    Ok(Reference { operation: operation.clone(), before, end: end::of(played), writes })
}

fn try_point(point: &Point, references: &[Reference], folders: &Folders) -> Result<Verdict> {
    let Some(reference) = references.get(point.reference) else { bail!("there is no such operation") };
    let played = play(
        Play {
            before: reference.before.clone(),
            operation: reference.operation.clone(),
            fault: Some((point.fault, point.at)),
        },
        folders,
    )?;
    if !played.struck {
        return Ok(Verdict::NotReached);
    }
    let mut found = match reference.operation.rotates {
        true => end::kept_passwords(&played.end, played.edited_at),
        false => end::changed_passwords(&played.end),
    };
    if !played.rests {
        let last = played.writes.last().map(|write| write.what.clone()).unwrap_or_default();
        found.push(format!("something is written all the time, as {last}"));
    }
    if !played.takes_edits {
        found.push("another edit is not taken any more".to_owned());
    }
    match point.fault {
        Fault::Deleted => found.extend(end::left(&played).into_iter().map(|name| format!("{name} is left"))),
        _ => found.extend(differences(&reference.end, &end::of(&played))),
    }
    Ok(if found.is_empty() { Verdict::Converged } else { Verdict::Diverged(found) })
}

/// The table of points tried and converged.
fn print_table(references: &[Reference], points: &[Point], verdicts: &[Verdict]) {
    print!("{:<20}{:>7}", "converged/tried", "writes");
    Fault::ALL.iter().for_each(|fault| print!("{:>13}", fault.name()));
    println!();
    for (number, reference) in references.iter().enumerate() {
        print!("{:<20}{:>7}", reference.operation.name, reference.writes.len());
        for fault in Fault::ALL {
            let those =
                points.iter().zip(verdicts).filter(|(point, _)| point.reference == number && point.fault == fault);
            let (mut tried, mut converged) = (0, 0);
            for (_, verdict) in those.filter(|(_, verdict)| !matches!(verdict, Verdict::NotReached)) {
                tried += 1;
                converged += usize::from(matches!(verdict, Verdict::Converged));
            }
            print!("{:>13}", format!("{converged}/{tried}"));
        }
        println!();
    }
    let missed = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::NotReached)).count();
    if missed > 0 {
        println!("{missed} points were not reached: another order of writes needed fewer");
    }
}

/// Prints the points that failed. Each operation is reported as one test.
fn judge(references: &[Reference], points: &[Point], verdicts: &[Verdict], whole: bool) -> Result<()> {
    let mut failed = 0;
    for (number, reference) in references.iter().enumerate() {
        let those = points.iter().zip(verdicts).filter(|(point, _)| point.reference == number);
        let mut of_operation = 0;
        for (point, verdict) in those {
            let Verdict::Diverged(found) = verdict else { continue };
            let write = reference.writes.get(point.at - 1).map_or("", String::as_str);
            println!("FAILED: {}, {} at write {} ({write})", reference.operation.name, point.fault.name(), point.at);
            let shown = if whole { usize::MAX } else { SHOWN };
            found.iter().take(shown).for_each(|difference| println!("  {difference}"));
            of_operation += 1;
        }
        println!("test {} ... {}", reference.operation.name, if of_operation == 0 { "ok" } else { "FAILED" });
        failed += of_operation;
    }
    if failed > 0 {
        bail!("{failed} points did not converge");
    }
    Ok(())
}

/// Calls `work` for each item on all processors; the results are in the order of the items.
fn on_all_processors<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let item = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((number, item)) = item else { return };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}
