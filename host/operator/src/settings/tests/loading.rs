//! Promises about a pipeline that takes long to load, and about the status after another replica became the leader.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgloom_engine::{Compiler, Description, EngineConfig, Plugin, Response};

use super::super::loading::{Loading, Wanted};
use super::*;

/// A compiler that waits until the test lets it go, and then refuses the component.
struct SlowCompiler {
    folder: tempfile::TempDir,
    /// One line lets one call end. It is open for both directions, so that opening it waits for nothing.
    gate: std::fs::File,
}

impl SlowCompiler {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (gate, begun) = (folder.path().join("gate"), folder.path().join("begun"));
        assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
        let text = format!(
            "#!/bin/sh\necho begun >> {}\nread line < {}\necho 'error: no component' >&2\nexit 1\n",
            begun.display(),
            gate.display()
        );
        let program = folder.path().join("compiler");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["one", "two"] {
            let component = [b"\0asm\x0d\0\x01\0", name.as_bytes()].concat();
            std::fs::write(folder.path().join(format!("{name}.wasm")), component).unwrap();
        }
        let gate = std::fs::OpenOptions::new().read(true).write(true).open(gate).unwrap();
        Self { folder, gate }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn loader(&self, api_server: &FakeApiServer) -> Loader {
        let mut loader = loader_of_object(api_server);
        let compiler = Some(Compiler::new(self.path().join("compiler")));
        loader.engine = Arc::new(Engine::new(&EngineConfig { compiler, ..EngineConfig::default() }).unwrap());
        loader.options.plugins = PathBuf::from(self.path());
        loader
    }

    /// Lets one call of the compiler end.
    fn let_go(&self) {
        (&self.gate).write_all(b"go\n").unwrap();
    }

    fn calls(&self) -> usize {
        std::fs::read_to_string(self.path().join("begun")).unwrap_or_default().lines().count()
    }
}

/// A Pipeline object of one step with this component.
fn document(generation: i64, component: &str) -> Found {
    let spec = json!({"steps": [{"name": component, "source": {"file": format!("{component}.wasm")}}]});
    let metadata = json!({"name": "default", "namespace": "ns", "uid": "u", "generation": generation});
    let document = json!({"apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": metadata, "spec": spec});
    Found { name: "Pipeline ns/default".into(), document }
}

fn last_condition(api_server: &FakeApiServer) -> Value {
    let writes = api_server.writes();
    let status = writes.iter().rev().find(|write| write.path.ends_with("/status")).unwrap();
    status.body["status"]["conditions"][0].clone()
}

#[tokio::test]
async fn while_a_pipeline_is_compiled_other_settings_are_used_and_the_status_says_that_it_is_being_loaded() {
    let api_server = FakeApiServer::new();
    let compiler = SlowCompiler::new();
    let (loader, settings) = (compiler.loader(&api_server), in_use());
    let (mut progress, mut loading) = (Progress::default(), Loading::default());
    api_server.put(&format!("{PIPELINES}/default"), document(5, "one").document);
    loader.take_pipeline(document(5, "one"), &mut progress, &mut loading, &settings);
    assert!(futures::FutureExt::now_or_never(loading.loaded()).is_none(), "the compiler has not been let go");

    assert!(loader.take_configuration(&found(json!({"docker_image": "spilo:1"})), &settings).await);
    assert_eq!(settings.borrow().config.text("docker_image"), "spilo:1");
    loader.report_pipeline(&mut progress, &settings.borrow().pipeline.clone()).await;
    let condition = last_condition(&api_server);
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("Unknown"), &json!("Loading")));

    compiler.let_go();
    let loaded = loading.loaded().await;
    assert!(!loader.take_loaded(loaded, &mut progress, &mut loading, &settings).await);
    loader.report_pipeline(&mut progress, &settings.borrow().pipeline.clone()).await;
    let condition = last_condition(&api_server);
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Rejected")));
    assert!(loading.is_idle() && settings.borrow().pipeline.is_available(), "the pipeline before stays in use");
}

#[tokio::test]
async fn of_the_documents_that_come_while_one_is_loaded_the_newest_is_loaded_next_and_no_other_one() {
    let api_server = FakeApiServer::new();
    let compiler = SlowCompiler::new();
    let (loader, settings) = (compiler.loader(&api_server), in_use());
    let (mut progress, mut loading) = (Progress::default(), Loading::default());
    for (generation, component) in [(5, "one"), (6, "absent"), (7, "two")] {
        loader.take_pipeline(document(generation, component), &mut progress, &mut loading, &settings);
    }
    compiler.let_go();
    let loaded = loading.loaded().await;
    assert!(!loader.take_loaded(loaded, &mut progress, &mut loading, &settings).await);
    assert_eq!(progress.problem, None, "what is no longer wanted is no problem");
    assert!(!loading.is_idle());
    compiler.let_go();
    let loaded = loading.loaded().await;
    loader.take_loaded(loaded, &mut progress, &mut loading, &settings).await;
    assert_eq!(progress.problem.unwrap().step, Some(("two".to_owned(), "compile")));
    assert!(loading.is_idle());
    assert_eq!(compiler.calls(), 2);
}

#[tokio::test]
async fn a_document_that_is_being_loaded_is_not_loaded_twice_and_one_that_failed_stays_reported_while_it_is_tried_again()
 {
    let api_server = FakeApiServer::new().with(&format!("{PIPELINES}/default"), document(5, "absent").document);
    let (loader, settings) = (loader_of_object(&api_server), in_use());
    let (mut progress, mut loading) = (Progress::default(), Loading::default());
    for _ in 0..2 {
        loader.take_pipeline(document(5, "absent"), &mut progress, &mut loading, &settings);
    }
    let loaded = loading.loaded().await;
    loader.take_loaded(loaded, &mut progress, &mut loading, &settings).await;
    assert!(loading.is_idle() && progress.problem.is_some());
    loader.load_again(&mut progress, &mut loading, &settings);
    assert!(progress.problem.is_some() && progress.loading.is_none());
    loading.want(&loader, Wanted::Source, &settings.borrow().pipeline);
    assert!(!loading.is_superseded(), "the source is read when the loading begins");
}

/// The pipeline with one step, as it runs in each replica.
fn pipeline() -> Pipeline {
    let description = Description { name: "one".into(), version: "1.2.3".into(), ..Description::default() };
    Pipeline::of(vec![Arc::new(Plugin::native(description, |_| Ok(Response::default())))]).unwrap()
}

/// A replica that has loaded the Pipeline object, as it was then, at a time; and whether it leads.
async fn replica(api_server: &FakeApiServer, at: &str) -> (Loader, watch::Sender<bool>, Progress) {
    let mut loader = loader_of_object(api_server);
    let (lead, leading) = watch::channel(false);
    loader.leading = leading;
    let found = loader.wanted().await.unwrap();
    let mut progress = Progress::default();
    progress.succeeded(found, &pipeline(), None, at.parse().unwrap());
    (loader, lead, progress)
}

/// Makes a replica the leader, as the loop of the settings does it.
async fn lead(loader: &Loader, lead: &watch::Sender<bool>, progress: &mut Progress) {
    lead.send_replace(true);
    loader.take_over_status(progress).await;
    let settings = Settings::of(Arc::new(Config::defaults()), Arc::new(pipeline()));
    loader.ask_rights(progress, &settings, &crate::cache::Resources::default()).await;
    loader.report_pipeline(progress, &settings.pipeline).await;
}

#[tokio::test]
async fn after_a_failover_the_status_is_that_of_the_new_leader_at_once_and_what_did_not_change_keeps_its_time() {
    let path = format!("{PIPELINES}/default");
    let api_server = FakeApiServer::new().with(&path, document(5, "one").document);
    let status = || {
        api_server.writes().iter().rev().find(|write| write.path.ends_with("/status")).unwrap().body["status"].clone()
    };
    let (first, first_leads, mut of_first) = replica(&api_server, "2026-01-01T00:00:00Z").await;
    let (second, second_leads, mut of_second) = replica(&api_server, "2026-01-02T00:00:00Z").await;
    second.report_pipeline(&mut of_second, &pipeline()).await;
    assert_eq!(api_server.written(), [] as [&str; 0], "only the leader writes");

    lead(&first, &first_leads, &mut of_first).await;
    let mut before = status();
    assert_eq!(before["steps"][0]["phase"], "Running");
    assert_eq!(before["steps"][0]["since"], "2026-01-01T00:00:00Z");
    assert_eq!(before["conditions"][1]["type"], "Authorized");
    // As after an hour.
    for condition in before["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!("2026-01-01T00:00:07Z");
    }
    let mut object = document(5, "one").document;
    object["status"] = before.clone();
    api_server.put(&path, object.clone());

    lead(&second, &second_leads, &mut of_second).await;
    assert_eq!(status(), before);

    // A replica that starts anew finds the same.
    let (third, third_leads, mut of_third) = replica(&api_server, "2026-01-03T00:00:00Z").await;
    lead(&third, &third_leads, &mut of_third).await;
    assert_eq!(status(), before);
    assert_eq!(api_server.object(&format!("{path}/status")).unwrap()["status"], before);

    // Another pipeline is in use since now.
    object["metadata"]["generation"] = json!(6);
    object["spec"]["steps"][0]["config"] = json!({"a": 1});
    api_server.put(&path, object);
    let (fourth, fourth_leads, mut of_fourth) = replica(&api_server, "2026-01-04T00:00:00Z").await;
    lead(&fourth, &fourth_leads, &mut of_fourth).await;
    assert_eq!(status()["steps"][0]["since"], "2026-01-04T00:00:00Z");
    assert_eq!(status()["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:07Z", "it was loaded all the time");
}
