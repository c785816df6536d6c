//! A cluster is counted under the step that holds it, until the step works again or the cluster is gone.

use pgloom_engine::{Description, Failure, Plugin, Response, call};

use super::*;

fn pipeline(fails: bool) -> Arc<Pipeline> {
    let description = Description { name: "fragile".into(), ..Description::default() };
    let plugin = Plugin::native(description, move |_| match fails {
        true => Err(call::Error::Refuse(Failure::Internal("broken".into()))),
        false => Ok(Response::default()),
    });
    Arc::new(Pipeline::of(vec![Arc::new(plugin)]).unwrap())
}

#[tokio::test]
async fn a_cluster_is_counted_under_the_step_that_holds_it_and_no_longer_when_the_step_works_or_the_cluster_is_gone() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    let with = |fails| watch::channel(Settings::of(config.clone(), pipeline(fails))).1;
    let held = |operator: &Context| {
        let text = operator.metrics.text().unwrap();
        text.lines().find(|line| line.starts_with("pgloom_clusters_held{step=\"fragile\"}")).map(str::to_owned)
    };
    let counted = |count: u8| Some(format!("pgloom_clusters_held{{step=\"fragile\"}} {count}"));
    operator.settings = with(true);
    for _ in 0..2 {
        reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(held(&operator), counted(1));
    }
    operator.settings = with(false);
    // Whatever the reconcile comes to after its decision, no step holds the cluster.
    let _ = reconcile(&operator, &key()).await;
    assert_eq!(held(&operator), counted(0));
    operator.settings = with(true);
    reconcile(&operator, &key()).await.unwrap_err();
    operator.forget(&key());
    assert_eq!(held(&operator), counted(0));
}
