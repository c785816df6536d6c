//! A folder outside the repository in which commands run as in a user's shell. Tests of other crates use it by its path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder outside the repository, and the binary that is tried in it.
pub struct Outside {
    folder: TempDir,
    binary: PathBuf,
}

/// A path of the repository, from a crate two folders below its root.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The folder for what plugins outside are built to: all tests share it.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside")
}

/// Whether a variable is one of the cargo that runs the test.
fn is_of_cargo(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    (name.starts_with("CARGO") && name != "CARGO_HOME") || name.starts_with("RUST") && name != "RUSTUP_HOME"
}

impl Outside {
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), binary: binary.into() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program in a folder below, without anything of the cargo that runs this test. Crates come from cargo's cache; all
    /// tests share what is built and compiled.
    pub fn command(&self, program: impl AsRef<OsStr>, folder: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path(folder)).env("XDG_CACHE_HOME", target().join("cache"));
        std::env::vars_os().map(|(name, _)| name).filter(|name| is_of_cargo(name)).for_each(|name| {
            command.env_remove(name);
        });
        command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target()).env("CARGO_PROFILE_DEV_DEBUG", "0");
        command
    }

    /// The binary with arguments.
    pub fn binary(&self, folder: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.binary, folder);
        command.args(arguments);
        command
    }

    /// What a command that succeeds prints.
    pub fn pgloom(&self, folder: &str, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.binary(folder, arguments).output().unwrap();
        let [printed, said] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(status.code(), Some(0), "{arguments:?}: {printed}{said}");
        printed
    }
}
