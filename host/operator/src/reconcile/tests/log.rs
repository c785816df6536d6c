//! What the log says of a reconcile: each line with its cluster, and that of a plugin with its step and version.

use std::io;
use std::sync::OnceLock;

use pgloom_engine::{Description, Failure, Plugin, Response, call};

use super::*;

/// The lines of this process, of all tests.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log as the binary writes it. A thread for computation has no subscriber of its own, so it is that of the process.
pub fn lines() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        lines
    })
}

impl Lines {
    /// All lines.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    /// The line that has this text.
    fn with(&self, text: &str) -> String {
        let written = self.text();
        let line = written.lines().find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no line has {text:?}")).to_owned()
    }
}

fn plugin(name: &str, fails: bool) -> Arc<Plugin> {
    let description = Description { name: name.into(), version: "4.5.6".into(), ..Description::default() };
    let text = format!("{name} was called");
    Arc::new(Plugin::native(description, move |_| {
        tracing::info!("{text}");
        match fails {
            true => Err(call::Error::Refuse(Failure::Internal("it\n2026-01-01T00:00:00Z ERROR forged".into()))),
            false => Ok(Response::default()),
        }
    }))
}

#[tokio::test]
async fn every_line_of_a_reconcile_names_its_cluster_and_that_of_a_plugin_its_step_and_version() {
    let lines = lines();
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    let pipeline = Pipeline::of(vec![plugin("talkative", false), plugin("broken-one", true)]).unwrap();
    operator.settings = watch::channel(Settings::of(config, Arc::new(pipeline))).1;
    reconcile(&operator, &key()).await.unwrap_err();
    let cluster = "cluster{namespace=ns name=acid-orders}";
    for name in ["talkative", "broken-one"] {
        let line = lines.with(&format!("{name} was called"));
        let spans = format!("{cluster}:plugin{{step={name} version=4.5.6}}: ");
        assert!(line.contains(&spans), "{line}");
    }
    let line = lines.with("reconcile failed");
    let failed = lines.with("step broken-one (broken-one 4.5.6): call failed");
    assert!(line.contains("cluster{") && failed.contains(&format!("{cluster}: ")), "{failed}");
    assert!(failed.contains("it 2026-01-01T00:00:00Z ERROR forged"), "a failure is in one line: {failed}");
}

#[tokio::test]
async fn what_a_job_logs_after_the_reconcile_that_began_it_names_its_cluster() {
    let (lines, operator) = (lines(), operator(&FakeApiServer::new(), &[]));
    let state = operator.states.of(&key());
    let time = Duration::from_secs(60);
    let backoff = crate::execute::task::Backoff { after_success: time, after_failure: time, at_most: time };
    let (ending, ended) = tokio::sync::oneshot::channel::<()>();
    let work = async move {
        tracing::info!("the job of the cluster did something");
        drop(ending);
        Err(crate::execute::task::Failure::new("it ended"))
    };
    let span = info_span!("cluster", namespace = "ns", name = "acid-orders");
    span.in_scope(|| state.patroni.ensure(1, time, backoff, || work));
    ended.await.unwrap_err();
    let line = lines.with("the job of the cluster did something");
    assert!(line.contains("cluster{namespace=\"ns\" name=\"acid-orders\"}: "), "{line}");
}
