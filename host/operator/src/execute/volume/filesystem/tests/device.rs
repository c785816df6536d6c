//! A filesystem on a device that grows. `hack/test-volumes` mounts one, and sets `PGLOOM_TEST_FILESYSTEM` to the folder; the
//! file of the device is beside it.

use std::process::Command as Process;

use super::*;

/// The programs of this machine.
struct Here;

impl Commands for Here {
    fn run<'a>(&'a self, _: &'a Container, command: &'a [&'a str]) -> BoxFuture<'a, Result<Output, command::Error>> {
        let ended = Process::new(command[0]).args(&command[1..]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = ended.status.code().unwrap();
        let output = Output { text: text(ended.stdout), errors: text(ended.stderr), code };
        async move { Ok(output) }.boxed()
    }
}

fn run(command: &[&str]) -> String {
    let ended = Process::new(command[0]).args(&command[1..]).output().unwrap();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

#[tokio::test]
async fn a_mounted_filesystem_grows_when_its_device_has_grown() {
    let Ok(folder) = std::env::var("PGLOOM_TEST_FILESYSTEM") else {
        let test = "a_mounted_filesystem_grows_when_its_device_has_grown";
        eprintln!("SKIPPED: {test} needs PGLOOM_TEST_FILESYSTEM; hack/test-volumes sets it, as root");
        return;
    };
    let mut pod = pod();
    pod.spec.as_mut().unwrap().containers[1].volume_mounts.as_mut().unwrap()[0].mount_path = folder.clone();
    let grown =
        async || grow(&Here, "ns", &pod, "pgdata-c-0", Some(128 << 20)).await.map_err(|error| error.to_string());
    let size = || run(&["stat", "--file-system", "--format=%b", &folder]).trim().parse::<u64>().unwrap();

    let before = size();
    let waits = "the node does not see the new size of the volume of claim pgdata-c-0 yet";
    assert_eq!(grown().await, Err(waits.to_owned()));
    assert_eq!(size(), before);

    let device = filesystem(&run(&["cat", "/proc/mounts"]), &folder).unwrap().device;
    run(&["truncate", "--size=128M", &format!("{folder}.image")]);
    run(&["losetup", "--set-capacity", &device]);
    if let Err(message) = grown().await
        && message.ends_with("Permission denied to resize filesystem")
    {
        eprintln!("SKIPPED: the kernel lets no process here resize a filesystem: CAP_SYS_RESOURCE is missing");
        return;
    }
    let done = "the ext4 filesystem of claim pgdata-c-0 has the size of its volume";
    for _ in 0..2 {
        assert_eq!(grown().await, Ok(done.to_owned()));
        assert!(size() > before * 3 / 2, "{before} {}", size());
    }
}
