//! Runs a command in a container of a pod, by the API server's
//! [exec](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The most bytes that are kept of what a command writes; of a longer output the end.
const MAX_OUTPUT: usize = 64 << 10;

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub pod: String,
    /// The name of the container.
    pub name: String,
}

/// What a command that ended by itself has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// What it wrote to standard output.
    pub text: String,
    /// What it wrote to standard error.
    pub errors: String,
    /// Its exit code.
    pub code: i32,
}

/// Why a command did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator has no right to run a command in the pod, or the pod does not run.
    #[error("failed to run a command in pod {pod}")]
    Exec {
        /// The name of the pod.
        pod: String,
        /// The error of the request.
        #[source]
        source: Box<kube::Error>,
    },
    /// The container could not start the command, as one that it does not have.
    #[error("pod {pod} could not run {command}: {reason}")]
    Start {
        /// The name of the pod.
        pod: String,
        /// The program.
        command: String,
        /// What the container's runtime says.
        reason: String,
    },
    /// The command's output ended early.
    #[error("pod {0} did not answer")]
    Answer(String),
}

/// A way to run commands in containers.
pub trait Commands: Send + Sync {
    /// Runs a program with its arguments, without a shell and without input, and waits for its end.
    fn run<'a>(&'a self, container: &'a Container, command: &'a [&'a str]) -> BoxFuture<'a, Result<Output, Error>>;
}

/// Through the API server, which needs the rights to `create` and to `get` `pods/exec`: older ones ask for the second.
pub struct Exec {
    /// The client.
    pub client: kube::Client,
}

impl Commands for Exec {
    fn run<'a>(&'a self, container: &'a Container, command: &'a [&'a str]) -> BoxFuture<'a, Result<Output, Error>> {
        async move {
            let pod = || container.pod.clone();
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &container.namespace);
            let how = AttachParams::default().container(&container.name).stdin(false);
            let attached = pods.exec(&container.pod, command.iter().copied(), &how).await;
            let mut attached = attached.map_err(|source| Error::Exec { pod: pod(), source: Box::new(source) })?;
            let no_answer = || Error::Answer(pod());
            let ended = attached.take_status().ok_or_else(no_answer)?;
            let (text, errors) = (attached.stdout().ok_or_else(no_answer)?, attached.stderr().ok_or_else(no_answer)?);
            let text = async { end_of(text).await.map_err(|_| no_answer()) };
            let errors = async { end_of(errors).await.map_err(|_| no_answer()) };
            // Where the connection is cut, the output does not end, and there will be no status.
            let ended = async { ended.await.ok_or_else(no_answer) };
            let (text, errors, ended) = tokio::try_join!(text, errors, ended)?;
            let code = exit_code(&ended).ok_or_else(|| Error::Start {
                pod: pod(),
                command: command.first().copied().unwrap_or_default().to_owned(),
                reason: ended.message.unwrap_or_default(),
            })?;
            Ok(Output { text, errors, code })
        }
        .boxed()
    }
}

/// Reads to the end, and keeps the last bytes.
async fn end_of(mut output: impl AsyncRead + Unpin) -> std::io::Result<String> {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 4096]);
    loop {
        let read = output.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(MAX_OUTPUT);
        kept.drain(..surplus);
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// The exit code of a command that ended by itself; `None` if it did not.
fn exit_code(ended: &Status) -> Option<i32> {
    if ended.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let mut causes = ended.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code = causes.find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    code.message.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_command_that_ended_by_itself_has_an_exit_code() {
        let ended = |code: &str| {
            let causes = json!([{"reason": "ExitCode", "message": code}]);
            json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}})
        };
        let refused = json!({"status": "Failure", "reason": "InternalError", "message": "container not found"});
        for (status, expected) in [
            (json!({"status": "Success"}), Some(0)),
            (ended("1"), Some(1)),
            (ended("137"), Some(137)),
            (ended(""), None),
            (refused, None),
        ] {
            let read: Status = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(exit_code(&read), expected, "{status}");
        }
    }

    #[tokio::test]
    async fn of_a_long_output_the_end_is_kept() {
        let text = [vec![b'a'; MAX_OUTPUT], b"the end".to_vec()].concat();
        let kept = end_of(&text[..]).await.unwrap();
        assert!(kept.len() == MAX_OUTPUT && kept.ends_with("athe end"), "{}", kept.len());
    }
}
