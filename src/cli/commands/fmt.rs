//! `rhumb fmt`.

use std::path::{Path, PathBuf};

use crate::cli::files::write_atomically;
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings, load};
use crate::diagnostic::SourceFile;
use crate::spec::{self, Language};

/// Format spec files, or convert them to the other language
///
/// Formatting keeps comments and meaning; the result is read again before it is written. Converting
/// keeps meaning and expressions, but comments are lost: the original stays beside as *.bak.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Spec files or folders
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Change nothing; exit 3 if a file is not formatted
    #[arg(long)]
    check: bool,
    /// Convert to this language instead
    #[arg(long, value_name = "LANGUAGE", conflicts_with = "check")]
    to: Option<To>,
}

/// A language to convert to.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum To {
    Hcl,
    Yaml,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        files.extend(load::find(path, settings)?);
    }
    let mut done: Vec<serde_json::Value> = Vec::new();
    let mut exit = Exit::Done;
    // All are read before the first is written: an error changes nothing.
    let mut changes = Vec::new();
    for file in &files {
        match args.to {
            Some(to) => {
                let language = match to {
                    To::Hcl => Language::Hcl,
                    To::Yaml => Language::Yaml,
                };
                if spec::language(&file.name) != language {
                    changes.push((file, spec::convert_to(file, language)?));
                }
            }
            None => {
                let text = spec::format(file)?;
                if text != file.text {
                    changes.push((file, text));
                }
            }
        }
    }
    for (file, text) in changes {
        let line = match args.to {
            Some(to) => convert(file, &text, to, settings)?,
            None if args.check => {
                exit = Exit::CheckFailed;
                format!("{}: not formatted", file.name)
            }
            None => {
                replace(&settings.dir.join(&file.name), &text)?;
                format!("{}: formatted", file.name)
            }
        };
        done.push(serde_json::json!({ "file": file.name, "did": line.rsplit(": ").next() }));
        if !settings.json && !settings.quiet {
            print(&format!("{line}\n"))?;
        }
    }
    if settings.json {
        let value = serde_json::json!({ "schema": "rhumb.fmt/1", "files": files.len(), "changes": done });
        print(&format!("{value:#}\n"))?;
    }
    Ok(exit)
}

/// Replaces a file's content; a symbolic link keeps pointing where it did.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::error(format!("{}: {e}", path.display()));
    let real = std::fs::canonicalize(path).map_err(failed)?;
    write_atomically(&real, text.as_bytes(), mode(&real))
}

/// Permission bits of a file, 0644 where there are none.
fn mode(path: &Path) -> u32 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if let Ok(metadata) = std::fs::metadata(path) {
            return metadata.permissions().mode() & 0o777;
        }
    }
    let _ = path;
    0o644
}

fn convert(file: &SourceFile, text: &str, to: To, settings: &Settings) -> Result<String, Failure> {
    let old = settings.dir.join(&file.name);
    let extension = match to {
        To::Hcl => "hcl",
        To::Yaml => "yaml",
    };
    let new = old.with_extension(extension);
    let mut kept = old.clone().into_os_string();
    kept.push(".bak");
    let kept = PathBuf::from(kept);
    for path in [&new, &kept] {
        if path.exists() {
            return Err(Failure::error(format!(
                "{}: is there already, nothing was converted",
                path.display()
            )));
        }
    }
    write_atomically(&new, text.as_bytes(), mode(&old))?;
    std::fs::rename(&old, &kept).map_err(|e| Failure::error(format!("{}: {e}", old.display())))?;
    let shown = Path::new(&file.name).with_extension(extension);
    let mut line = format!("{}: converted to {}", file.name, shown.display());
    if has_comments(file) {
        line.push_str(&format!("; comments are lost, {}.bak has them", file.name));
    }
    Ok(line)
}

/// Whether there is something that looks like a comment.
fn has_comments(file: &SourceFile) -> bool {
    let hcl = spec::language(&file.name) == Language::Hcl;
    file.text.lines().any(|line| {
        let line = line.trim_start();
        line.starts_with('#') || line.contains(" #") || hcl && (line.contains("//") || line.contains("/*"))
    })
}
