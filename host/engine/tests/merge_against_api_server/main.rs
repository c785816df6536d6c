//! The merge equals server-side apply: fragments that different managers apply to a real API server give the same
//! object as the merged fragments that one manager applies, and what conflicts on the server conflicts in the merge.
//!
//! `PGLOOM_TEST_KUBECONFIG` names the kubeconfig of a cluster. Without it the tests print that they are skipped.
//! `PGLOOM_MERGE_CASES` sets the number of cases, `PROPTEST_RNG_SEED` repeats a run.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::env;

use pgloom_engine::schema::{Schema, openapi};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

mod cluster;
mod compare;
mod generate;

use cluster::Cluster;

/// The number of cases; they take about half a minute.
const CASES: u32 = 200;

#[test]
fn fragments_merge_as_the_api_server_merges_those_of_different_managers() {
    let Some(cluster) = Cluster::of_the_environment("merge") else { return };
    let cluster = cluster.with_custom_resource();
    let cases =
        env::var("PGLOOM_MERGE_CASES").ok().map_or(CASES, |text| text.parse().expect("PGLOOM_MERGE_CASES is a number"));
    let seed = match Config::default().rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => {
            u64::from(std::process::id()) << 32 | u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos())
        }
    };
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let tally = std::cell::RefCell::new(compare::Tally::default());
    let outcome = TestRunner::new(config).run(&generate::case(), |case| {
        tally.borrow_mut().add(compare::compare(&cluster, &case).map_err(TestCaseError::fail)?);
        Ok(())
    });
    let tally = tally.into_inner();
    println!("{cases} cases of seed {seed}: {tally:?}");
    drop(cluster);
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("PROPTEST_RNG_SEED={seed}: {reason}\nsmallest case: {case}"),
        Err(TestError::Abort(reason)) => panic!("PROPTEST_RNG_SEED={seed}: {reason}"),
    }
    // Every outcome has to occur often enough in the generated cases.
    assert!(tally.merged >= cases && tally.conflicts >= cases / 40 && tally.forced >= cases / 10, "{tally:?}");
    assert!(tally.invalid < tally.merged / 3, "too many fragments that the server refuses: {tally:?}");
}

#[test]
fn the_merge_table_is_what_the_api_server_publishes() {
    let Some(cluster) = Cluster::of_the_environment("schema") else { return };
    let index = cluster.get("/openapi/v3");
    let paths = index["paths"].as_object().expect("a list of documents").keys();
    let documents: Vec<_> = paths
        .filter(|name| name.starts_with("api/") || name.starts_with("apis/"))
        .map(|name| cluster.get(&format!("/openapi/v3/{name}")))
        .collect();
    let published = openapi::built_in(&documents).expect("a table");
    let committed = include_str!("../../src/schema/table.json");
    assert!(
        published == committed,
        "the server publishes another merge table; generate it again with `cargo xtask schema`"
    );
    Schema::embedded().expect("a table that can be read");
}
