//! The languages of plugins: what tells them apart, and the program that builds a plugin in each.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use pgloom_package::contract;

use super::exports;
use super::project::write;

/// How the toolchains that belong to a folder are installed in it.
const PIP: &str = "python3 -m venv .venv && .venv/bin/pip install --requirement requirements.txt";
const NPM: &str = "npm install";

/// A language of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, with the SDK `pgloom-kit`
    Rust,
    /// Python, with componentize-py
    Python,
    /// JavaScript, with the engine QuickJS
    #[value(name = "javascript")]
    JavaScript,
    /// Go, with its standard compiler
    Go,
    /// C, with clang and wasi-libc
    C,
}

impl Language {
    /// The language of a plugin's folder, by the file that its toolchain asks for.
    pub fn of(folder: &Path) -> Option<Self> {
        Self::value_variants().iter().copied().find(|language| folder.join(language.mark()).is_file())
    }

    /// The file by which a folder is known.
    fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "app.py",
            Self::JavaScript => "plugin.js",
            Self::Go => "go.mod",
            Self::C => "plugin.c",
        }
    }

    /// The files of [`mark`](Self::mark), for an error.
    pub fn marks() -> String {
        Self::value_variants().iter().map(|language| language.mark()).collect::<Vec<_>>().join(", ")
    }

    /// The command that installs its toolchain in the folder of a plugin; nothing if the toolchain is one of the system.
    pub fn install(self) -> Option<&'static str> {
        match self {
            Self::Python => Some(PIP),
            Self::JavaScript => Some(NPM),
            Self::Rust | Self::Go | Self::C => None,
        }
    }

    /// How its name is written.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::Go => "Go",
            Self::C => "C",
        }
    }
}

/// A program that makes a module or a component of a folder.
struct Toolchain {
    /// Where it is if it was installed in the folder; empty if it never is.
    local: &'static str,
    name: &'static str,
    arguments: Vec<String>,
    environment: &'static [(&'static str, &'static str)],
    /// What to do if it is missing.
    install: String,
    /// A program that it starts, and what to do if that is missing.
    part: Option<(&'static str, &'static str)>,
}

impl Toolchain {
    /// The program for a folder; none for Rust, which cargo builds.
    fn of(language: Language, folder: &Path, output: &str) -> Result<Option<Self>> {
        let wit = "dist/wit";
        let local = |command: &str| format!("in {} run: {command}", folder.display());
        let arguments = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Ok(Some(match language {
            Language::Rust => return Ok(None),
            Language::Python => Self {
                local: ".venv/bin",
                name: "componentize-py",
                arguments: arguments(&format!(
                    "--quiet --wit-path {wit} --world {} componentize app --stub-wasi --output {output}",
                    contract::WORLD
                )),
                environment: &[],
                install: local(PIP),
                part: None,
            },
            Language::JavaScript => Self {
                local: "node_modules/.bin",
                name: "componentize-qjs",
                arguments: arguments(&format!(
                    "--wit {wit} --world {} --js plugin.js --sync --stub-wasi --output {output}",
                    contract::WORLD
                )),
                environment: &[],
                install: local(NPM),
                part: Some(("node", "get Node.js from https://nodejs.org")),
            },
            Language::Go => Self {
                local: "",
                name: "go",
                arguments: [
                    arguments("build -buildmode=c-shared -trimpath -buildvcs=false"),
                    vec!["-ldflags=-s -w".to_owned(), "-o".to_owned(), output.to_owned(), ".".to_owned()],
                ]
                .concat(),
                environment: &[("GOOS", "wasip1"), ("GOARCH", "wasm")],
                install: "get Go 1.24 or newer from https://go.dev/dl".to_owned(),
                part: None,
            },
            Language::C => Self {
                local: "",
                name: "clang",
                arguments: [
                    arguments(&format!("--target=wasm32-wasi -mexec-model=reactor -Os -Wl,--strip-all -o {output}")),
                    sources(folder)?,
                ]
                .concat(),
                environment: &[],
                install: "run: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32".to_owned(),
                part: Some(("wasm-ld", "run: apt-get install lld")),
            },
        }))
    }

    fn program(&self, folder: &Path) -> PathBuf {
        let local = folder.join(self.local).join(self.name);
        if !self.local.is_empty() && local.is_file() { local } else { PathBuf::from(self.name) }
    }

    /// Runs it; what it prints is shown if it fails.
    fn run(&self, folder: &Path) -> Result<()> {
        let (name, install) = (self.name, &self.install);
        let mut command = Command::new(self.program(folder));
        command.current_dir(folder).args(&self.arguments).envs(self.environment.iter().copied());
        let output = match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("{name} is not installed; {install}")
            }
            output => output.with_context(|| format!("{name} cannot be started; {install}"))?,
        };
        if output.status.success() {
            return Ok(());
        }
        let mut stderr = std::io::stderr();
        // If nothing can be printed, the error below cannot be printed either.
        _ = stderr.write_all(&output.stdout).and_then(|()| stderr.write_all(&output.stderr));
        if let Some((part, install)) = self.part.filter(|(part, _)| is_missing(part, &output)) {
            bail!("{part}, which {name} starts, is not installed; {install}");
        }
        bail!("{name} failed with {}; it has printed why", output.status)
    }
}

/// Whether a program failed because it cannot start another one: clang says so, and `env` has an exit code for it.
fn is_missing(part: &str, output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    said.contains(part) && (said.contains("unable to execute command") || output.status.code() == Some(127))
}

/// What the toolchain of a folder makes, a module or a component; nothing for Rust, which cargo builds. The contract is
/// written to `dist/wit`, for the toolchain and for editors.
pub fn build(language: Language, folder: &Path) -> Result<Option<Vec<u8>>> {
    let output = "dist/build.wasm";
    let Some(toolchain) = Toolchain::of(language, folder, output)? else { return Ok(None) };
    for (name, text) in contract::FILES {
        write(&folder.join("dist/wit").join(name), text.as_bytes())?;
    }
    if language == Language::JavaScript {
        exports::check(folder)?;
    }
    toolchain.run(folder)?;
    let path = folder.join(output);
    let bytes = crate::file::built(&path)?;
    std::fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
    Ok(Some(bytes))
}

/// The sources of a plugin in C, by name.
fn sources(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".c"));
    names.sort();
    Ok(names)
}
