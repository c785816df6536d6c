//! The folder of a plugin, and how its component is built: by cargo, or by the toolchain of another language.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use super::language::{self, Language};
use super::step;
use crate::usage::usage;

/// What a Rust plugin is compiled for.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum Target {
    /// A core module, of which a component is made
    #[default]
    #[value(name = "wasm32-unknown-unknown")]
    Unknown,
    /// A component that imports WASI, of which the host links an empty one
    #[value(name = "wasm32-wasip2")]
    Wasip2,
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Self::Unknown => "wasm32-unknown-unknown",
            Self::Wasip2 => "wasm32-wasip2",
        }
    }
}

/// The folder of a plugin.
pub struct Project {
    folder: PathBuf,
    language: Language,
}

/// A component that was built.
pub struct Built {
    /// Where it is.
    pub path: PathBuf,
    /// The component.
    pub bytes: Vec<u8>,
}

impl Project {
    /// The project in a folder.
    pub fn of(folder: &Path) -> Result<Self> {
        let place = folder.display();
        if !folder.is_dir() {
            bail!("{place}: is not a folder; name the folder of a plugin");
        }
        let Some(language) = Language::of(folder) else {
            bail!(
                "{place}: has none of {}; name the folder of a plugin, or begin one: pgloom plugin new NAME",
                Language::marks()
            );
        };
        // An absolute path: cargo runs in the folder, and prints the paths of manifests like this.
        let folder = folder.canonicalize().with_context(|| format!("{place}: cannot be read; check the path"))?;
        Ok(Self { folder, language })
    }

    /// A file or folder of the project.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Builds the component and writes it to `output`, or to `dist/NAME.wasm`.
    pub fn build(&self, target: Option<Target>, output: Option<&Path>) -> Result<Built> {
        if target.is_some() && self.language != Language::Rust {
            let language = self.language.title();
            return Err(usage(format!("--target is for plugins in Rust, and this one is in {language}; leave it out")));
        }
        let (name, bytes) = match language::build(self.language, &self.folder)? {
            Some(bytes) => (self.name()?, bytes),
            None => self.crate_module(target.unwrap_or_default())?,
        };
        let place = || format!("{}: what was built", self.folder.display());
        let bytes = pgloom_package::any(&bytes).with_context(place)?;
        let path = output.map_or_else(|| self.file("dist").join(name), Path::to_owned);
        write(&path, &bytes)?;
        Ok(Built { path, bytes })
    }

    /// Runs the native tests, if the language is Rust, and returns whether they pass; their output is that of cargo.
    pub fn test(&self) -> Result<bool> {
        if self.language != Language::Rust {
            return Ok(true);
        }
        let mut cargo = self.cargo();
        cargo.arg("test");
        if std::io::stdout().is_terminal() {
            return Ok(cargo.status().context(START)?.success());
        }
        // The tests would fail where the reader of a pipe has gone.
        let mut running = cargo.stdout(Stdio::piped()).spawn().context(START)?;
        let mut lines = BufReader::new(running.stdout.take().context(START)?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).context("the output of cargo cannot be read")? > 0 {
            crate::output::print(&String::from_utf8_lossy(&line))?;
            line.clear();
        }
        Ok(running.wait().context("cargo cannot be waited for")?.success())
    }

    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The file's name that `step.yaml` gives the component, or that of the folder.
    fn name(&self) -> Result<String> {
        let step = step::read(self)?.unwrap_or_default();
        let file = step.get("source").and_then(|source| source["file"].as_str()).map(Path::new);
        let name = file.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let folder = || format!("{}.wasm", self.folder.file_name().unwrap_or_default().to_string_lossy());
        Ok(name.unwrap_or_else(folder))
    }

    /// The name of a crate's component, and the module that cargo builds.
    fn crate_module(&self, target: Target) -> Result<(String, Vec<u8>)> {
        self.check_target(target)?;
        let module = self.module(target)?;
        let stem = module.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
        let name = format!("{}.wasm", stem.strip_prefix("plugin-").unwrap_or(&stem));
        Ok((name, crate::file::built(&module)?))
    }

    fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.current_dir(&self.folder);
        command
    }

    /// Cargo's own error for a missing target is one for each crate.
    fn check_target(&self, target: Target) -> Result<()> {
        let triple = target.triple();
        let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
        command.current_dir(&self.folder).args(["--print", "target-libdir", "--target", triple]);
        let Ok(output) = command.output() else { return Ok(()) };
        let libraries = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && !Path::new(libraries.trim()).is_dir() {
            bail!("Rust cannot compile for {triple} here; run: rustup target add {triple}");
        }
        Ok(())
    }

    /// Compiles the crate; returns the file of its `cdylib`.
    fn module(&self, target: Target) -> Result<PathBuf> {
        let mut command = self.cargo();
        command.args([
            "build",
            "--release",
            "--target",
            target.triple(),
            "--message-format",
            "json-render-diagnostics",
        ]);
        let output = command.stderr(Stdio::inherit()).output().context(START)?;
        if !output.status.success() {
            bail!("cargo build failed; it has printed why");
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let manifest = self.file("Cargo.toml");
        let found = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).find_map(|message: Value| {
            let is_own = message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
            let kinds = message["target"]["kind"].as_array().filter(|_| is_own)?;
            let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
            let file = files.find(|file| file.ends_with(".wasm"))?;
            kinds.iter().any(|kind| kind == "cdylib").then(|| PathBuf::from(file))
        });
        found.with_context(|| without_library(&manifest))
    }
}

const START: &str = "cargo cannot be started; install Rust from https://rustup.rs";

fn without_library(manifest: &Path) -> String {
    format!("{}: the crate makes no module; add to it: [lib] crate-type = [\"cdylib\", \"rlib\"]", manifest.display())
}

/// Writes a file, and makes its folder.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("{}: cannot be written; check the path", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    crate::file::replace(path, bytes).with_context(failed)
}
