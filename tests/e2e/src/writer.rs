//! A pod that inserts rows one after another, and what it wrote.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::{Connection, Namespace, eventually};

/// The role and the database of the writer. The manifest has to name both.
pub const ROLE: &str = "writer";
/// The writer's database.
pub const DATABASE: &str = "written";
const POD: &str = "writer";

/// A running writer.
pub struct Writer<'a> {
    namespace: &'a Namespace,
    cluster: &'a str,
}

/// What a writer wrote.
pub struct Written {
    /// The acknowledged rows: the id, the time in seconds since 1970, and the host through which it was written.
    acknowledged: Vec<(u64, f64, String)>,
    /// The ids of the rows that exist.
    existing: BTreeSet<u64>,
}

impl<'a> Writer<'a> {
    /// Starts to write to a cluster that runs, through its pooler; through its leader's Service while the pooler
    /// does not accept connections. Waits until the first row is written.
    pub fn start(namespace: &'a Namespace, cluster: &'a str) -> Self {
        let secret = json!({"name": format!("{ROLE}.{cluster}.credentials"), "key": "password"});
        let container = json!({
            "name": "writer", "image": "localhost/pgloom/database:15",
            "command": ["python3", "-c", include_str!("writer.py")],
            "env": [
                {"name": "HOSTS", "value": format!("{cluster}-pooler,{cluster}")},
                {"name": "PGUSER", "value": ROLE},
                {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": secret}},
            ],
        });
        let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
        namespace.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}));
        let writer = Self { namespace, cluster };
        eventually("the first rows are written", || {
            let rows = writer.acknowledged()?.len();
            crate::ensure(rows > 10, rows)
        });
        writer
    }

    /// Waits until further rows are written.
    pub fn goes_on(&self) {
        let now = now();
        eventually("further rows are written", || {
            let rows = self.acknowledged()?;
            crate::ensure(rows.last().is_some_and(|(_, at, _)| *at > now), "no row")
        });
    }

    /// Stops to write, and returns what was written.
    ///
    /// # Panics
    /// If the database does not answer.
    pub fn stop(self) -> Written {
        let acknowledged = self.acknowledged().unwrap();
        let errors = self.namespace.kubectl(&["logs", POD]).unwrap_or_default();
        let errors: Vec<&str> = errors.lines().collect();
        println!("the last errors of the writer:\n{}", errors[errors.len().saturating_sub(8)..].join("\n"));
        self.namespace.kubectl(&["delete", "pod", POD, "--wait"]).unwrap();
        let connection = Connection { user: ROLE, database: DATABASE, host: self.cluster, mode: "require" };
        let ids = self.namespace.sql(self.cluster, &connection, "select id from written").unwrap();
        Written { acknowledged, existing: ids.lines().map(|id| id.parse().unwrap()).collect() }
    }

    fn acknowledged(&self) -> Result<Vec<(u64, f64, String)>, String> {
        let text = self.namespace.kubectl(&["exec", POD, "--", "cat", "/tmp/acknowledged"])?;
        let row = |line: &str| {
            let mut words = line.split(' ');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned()))
        };
        // The last line may be written at this moment.
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        Ok(text[..end].lines().filter_map(row).collect())
    }
}

impl Written {
    /// The number of acknowledged rows.
    pub fn rows(&self) -> usize {
        self.acknowledged.len()
    }

    /// The number of acknowledged rows that were written through this host.
    pub fn rows_through(&self, host: &str) -> usize {
        self.acknowledged.iter().filter(|(_, _, through)| through == host).count()
    }

    /// The acknowledged rows that do not exist.
    pub fn lost(&self) -> Vec<u64> {
        let ids = self.acknowledged.iter().map(|(id, _, _)| *id);
        ids.filter(|id| !self.existing.contains(id)).collect()
    }

    /// The longest time between two acknowledged rows of which the second was written in this span, in seconds since
    /// 1970.
    pub fn longest_outage(&self, from: f64, to: f64) -> Duration {
        let pairs = self.acknowledged.windows(2).map(|pair| (pair[0].1, pair[1].1));
        let outages = pairs.filter(|(_, end)| (from..to).contains(end)).map(|(start, end)| end - start);
        Duration::from_secs_f64(outages.fold(0.0, f64::max))
    }
}

/// The time in seconds since 1970, as a writer notes it.
///
/// # Panics
/// If the clock is before 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
