//! Who may edit a namespace by the roles of Kubernetes may have clusters in it, and who may view it sees them.

use e2e::{Namespace, has_cluster, kubectl, namespace};

const USER: &str = "system:serviceaccount:default:somebody";

/// Whether the user may do something with the clusters of a namespace.
fn may(namespace: &Namespace, verb: &str, resource: &str) -> bool {
    let arguments = ["auth", "can-i", verb, resource, "--as", USER, "--namespace", &namespace.name];
    // The exit code of `no` is 1, and its text is in the error.
    kubectl(&arguments).is_ok_and(|answer| answer.trim() == "yes")
}

#[test]
fn the_roles_edit_and_view_of_kubernetes_include_clusters() {
    if !has_cluster("users") {
        return;
    }
    let (edited, viewed, other) = (namespace("users-edit"), namespace("users-view"), namespace("users-none"));
    for (namespace, role) in [(&edited, "edit"), (&viewed, "view")] {
        let role = format!("--clusterrole={role}");
        namespace.kubectl(&["create", "rolebinding", "somebody", &role, "--serviceaccount=default:somebody"]).unwrap();
    }
    let answers = |verb: &str, resource: &str| [&edited, &viewed, &other].map(|place| may(place, verb, resource));
    assert_eq!(answers("create", "postgresqls.acid.zalan.do"), [true, false, false]);
    assert_eq!(answers("delete", "postgresqls.acid.zalan.do"), [true, false, false]);
    assert_eq!(answers("list", "postgresqls.acid.zalan.do"), [true, true, false]);
    assert_eq!(answers("create", "pipelines.pgloom.dev"), [false, false, false]);
}
