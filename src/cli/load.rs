//! Finding and reading spec files, variables, and the catalogue that a spec is planned on.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Failure, Settings};
use crate::calibrate;
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics, Pointer, SourceFile, SourceMap, Span};
use crate::perf::Calibration;
use crate::placement::stand;
use crate::spec::{self, FileRef, Loaded, Sources, Vocabulary};

/// Largest file that a spec may name, bytes.
const MAX_NAMED_BYTES: u64 = 256 * 1024 * 1024;

/// Which spec, and the values of its variables.
#[derive(Clone, Debug, clap::Args)]
pub struct SpecArgs {
    /// A spec file, or a folder whose *.yaml, *.yml and *.hcl files are merged
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    /// Set a variable; wins over --var-file and RHUMB_VAR_NAME
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub var: Vec<String>,
    /// Read variables from a YAML, JSON or HCL file; wins over RHUMB_VAR_NAME
    #[arg(long = "var-file", value_name = "FILE")]
    pub var_file: Vec<PathBuf>,
}

/// A spec with what it is planned on.
#[derive(Clone)]
pub struct Found {
    /// The spec.
    pub loaded: Loaded,
    /// The embedded catalogue with the user's own files and discounts applied.
    pub catalog: Catalog,
    /// The user's own benchmark runs.
    pub calibration: Calibration,
    /// The spec's folder, which the paths in it are relative to.
    pub folder: PathBuf,
}

/// Reads a spec and the catalogue that it names.
///
/// `more` are further catalogue files, applied after those that the spec names.
///
/// # Errors
/// Every problem of the spec, of the user's catalogue files, or a file that cannot be read.
pub fn load(args: &SpecArgs, more: &[PathBuf], settings: &Settings) -> Result<Found, Failure> {
    let files = find(&args.path, settings)?;
    let variables = variables(args, settings)?;
    load_files(files, variables, &folder(&args.path, settings), more, settings)
}

/// Reads a spec of which some keys have other values, and the catalogue that it then names.
///
/// `found` is the spec as it is, `edit` changes its tree.
///
/// # Errors
/// As of [`load`]; what `edit` says, and the first thing that is wrong with the changed spec, for people.
pub fn load_edited(
    found: &Found,
    edit: impl FnOnce(&mut serde_json::Value) -> Result<(), String>,
    more: &[PathBuf],
    settings: &Settings,
) -> Result<Found, Failure> {
    let mut tree = found.loaded.tree.clone();
    edit(&mut tree).map_err(Failure::error)?;
    // JSON is YAML; what looks like an expression by now is plain text.
    let text = tree.to_string().replace("${", "$${");
    let files = vec![SourceFile { name: EDITED.into(), text }];
    load_files(files, Vec::new(), &found.folder, more, settings).map_err(|failure| match failure {
        Failure::Diagnostics(problems) => {
            let text = problems.list.first().map_or_else(String::new, |p| {
                let help = p.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
                let at = p.pointer.as_ref().map_or_else(String::new, |at| format!("{}: ", at.dotted()));
                format!("{at}{}{help}", p.message)
            });
            Failure::error(text)
        }
        other => other,
    })
}

/// The name of a spec that is in no file.
const EDITED: &str = "what-if.yaml";

fn load_files(
    files: Vec<SourceFile>,
    variables: Vec<(String, String, String)>,
    folder: &Path,
    more: &[PathBuf],
    settings: &Settings,
) -> Result<Found, Failure> {
    let read = |name: &str| read_named(folder, name);
    let mut catalog = Catalog::embedded();
    let own = spec::named_catalogs(&files, &variables);
    let files: Vec<SourceFile> = files.into_iter().filter(|f| !is_one_of(&f.name, &own)).collect();
    // A file that cannot be read is reported by the spec's own place below.
    let mut unreadable: Vec<(String, String)> = Vec::new();
    for name in &own {
        match read_text_named(folder, name) {
            Ok(text) => catalog.apply_user_file(name, &text)?,
            Err(error) => unreadable.push((name.clone(), error)),
        }
    }
    for path in more {
        let name = path.display().to_string();
        let text = read_text_named(&settings.dir, &name)
            .map_err(|error| Failure::error(format!("--catalog {name}: {error}")))?;
        catalog.apply_user_file(&name, &text)?;
    }
    let vocabulary = catalog.vocabulary();
    let sources = Sources { files, variables, vocabulary: &vocabulary, read: &read };
    let loaded = spec::load(&sources)?;
    let mut problems = Vec::new();
    for file in &loaded.spec.catalog_files {
        if let Some((_, error)) = unreadable.iter().find(|(name, _)| *name == file.path) {
            problems.push(
                Diagnostic::error("cannot-read", format!("`{}` cannot be read: {error}", file.path))
                    .at(&loaded.map, &file.at)
                    .label("cannot be read")
                    .help("the path is relative to the spec's folder"),
            );
        }
    }
    let calibration = match loaded.spec.calibration.as_ref().map(|file| calibration(folder, file)) {
        None => Calibration::default(),
        Some(Ok(found)) => found,
        Some(Err((file, message, help))) => {
            problems.push(
                Diagnostic::error("bad-calibration", message)
                    .at(&loaded.map, &file.at)
                    .label("cannot be used")
                    .help(help),
            );
            Calibration::default()
        }
    };
    if !problems.is_empty() {
        return Err(Diagnostics::new(loaded.map, problems).into());
    }
    for (cloud, provider) in &loaded.spec.providers {
        if provider.discount > 0.0 {
            catalog.apply_discount(*cloud, provider.discount);
        }
    }
    if let Err(unknown) = stand(&mut catalog, &loaded.spec) {
        let problem = |(at, why): (Pointer, String)| {
            Diagnostic::error("unknown-power", format!("a cap on power cannot be proven: {why}"))
                .at_key(&loaded.map, &at)
                .label("how much does it take?")
                .help("state it: `power: 350 W`, or remove the site's cap")
        };
        return Err(Diagnostics::new(loaded.map.clone(), unknown.into_iter().map(problem).collect()).into());
    }
    Ok(Found { loaded, catalog, calibration, folder: folder.to_owned() })
}

/// Reads the runs that a spec names, or what is wrong and what to do.
fn calibration<'f>(folder: &Path, file: &'f FileRef) -> Result<Calibration, (&'f FileRef, String, String)> {
    let text = read_text_named(folder, &file.path).map_err(|error| {
        let help = "the path is relative to the spec's folder; `rhumb calibrate` makes the file";
        (file, format!("`{}` cannot be read: {error}", file.path), help.to_owned())
    })?;
    calibrate::file::decode(&file.path, &text)
        .map_err(|refusal| (file, format!("`{}`: {}", file.path, refusal.reason), refusal.fix))
}

/// Reads a spec against known names.
///
/// # Errors
/// Every problem of the spec, or a file that cannot be read.
pub fn load_with(args: &SpecArgs, settings: &Settings, vocabulary: &Vocabulary) -> Result<Loaded, Failure> {
    let files = find(&args.path, settings)?;
    let variables = variables(args, settings)?;
    let folder = folder(&args.path, settings);
    let read = |name: &str| read_named(&folder, name);
    Ok(spec::load(&Sources { files, variables, vocabulary, read: &read })?)
}

/// The folder that a spec's paths are relative to.
pub fn folder(path: &Path, settings: &Settings) -> PathBuf {
    let full = settings.dir.join(path);
    if full.is_dir() { full } else { full.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf) }
}

fn is_one_of(file: &str, names: &[String]) -> bool {
    let last = |path: &str| Path::new(path).file_name().map(|n| n.to_string_lossy().into_owned());
    names.iter().any(|n| last(n) == last(file))
}

/// Reads a file that a spec names.
///
/// # Errors
/// It is not there, is no file, or is too large; for people.
pub fn read_named(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    read_capped(&folder.join(name), MAX_NAMED_BYTES)
}

/// As [`read_named`], for text.
///
/// # Errors
/// As of [`read_named`], or it is not UTF-8.
pub fn read_text_named(folder: &Path, name: &str) -> Result<String, String> {
    let bytes = read_named(folder, name)?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|e| reason(&e))?;
    if metadata.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|e| reason(&e))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| reason(&e))?;
    if bytes.len() as u64 > limit {
        return Err(format!("it is larger than {} KiB", limit / 1024));
    }
    Ok(bytes)
}

/// What went wrong with a file, in words that do not depend on the platform.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        // ELOOP has no stable kind yet.
        _ if error.raw_os_error() == Some(40) => "a symbolic link leads back to itself".to_owned(),
        _ => error.to_string(),
    }
}

/// The spec files at a path, sorted by name.
///
/// # Errors
/// Nothing there, a folder without specs, a file that cannot be read or is not UTF-8.
pub fn find(path: &Path, settings: &Settings) -> Result<Vec<SourceFile>, Failure> {
    let full = settings.dir.join(path);
    let mut problems = Vec::new();
    let mut map = SourceMap::default();
    let names = match std::fs::metadata(&full) {
        Err(error) => {
            let help = "name a spec file or a folder; `rhumb init` writes a first spec";
            let message = format!("`{}`: {}", path.display(), reason(&error));
            return Err(alone(Diagnostic::error("cannot-read", message).help(help)));
        }
        Ok(metadata) if metadata.is_dir() => in_folder(path, &full)?,
        Ok(_) if is_spec(path) => vec![path.to_path_buf()],
        Ok(_) => {
            let message = format!("`{}` is not a spec file", path.display());
            let help = "spec files end in `.yaml`, `.yml` or `.hcl`";
            return Err(alone(Diagnostic::error("not-a-spec", message).help(help)));
        }
    };
    for name in names {
        let shown = name.to_string_lossy().into_owned();
        let bytes = match read_capped(&settings.dir.join(&name), spec::MAX_FILE_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) => {
                let code = if error.contains("larger") { "too-large" } else { "cannot-read" };
                problems.push(
                    Diagnostic::error(code, format!("`{shown}`: {error}"))
                        .help("a spec is a small text file that can be read"),
                );
                continue;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => map.files.push(SourceFile { name: shown, text }),
            Err(error) => {
                problems.push(not_utf8(&shown, &error, map.files.len()));
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                map.files.push(SourceFile { name: shown, text });
            }
        }
    }
    if problems.is_empty() { Ok(map.files) } else { Err(Diagnostics::new(map, problems).into()) }
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error, file: usize) -> Diagnostic {
    let start = error.utf8_error().valid_up_to();
    let utf16 = error.as_bytes().starts_with(&[0xff, 0xfe]) || error.as_bytes().starts_with(&[0xfe, 0xff]);
    let message = if utf16 {
        format!("`{name}` is UTF-16, not UTF-8")
    } else {
        format!(
            "`{name}` is not UTF-8 text: byte {start} is 0x{:02x}",
            error.as_bytes().get(start).unwrap_or(&0)
        )
    };
    let width = char::REPLACEMENT_CHARACTER.len_utf8();
    Diagnostic::error("not-utf8", message)
        .span(Span { file, start, end: start + width })
        .label("not UTF-8")
        .help("save the file as UTF-8")
}

fn alone(problem: Diagnostic) -> Failure {
    Diagnostics::new(SourceMap::default(), vec![problem]).into()
}

fn is_spec(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "hcl")
}

/// Files of variables lie beside a spec without being one.
fn is_variables(name: &str) -> bool {
    [".vars.yaml", ".vars.yml", ".vars.hcl"].iter().any(|end| name.ends_with(end))
}

fn in_folder(path: &Path, full: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        std::fs::read_dir(full).map_err(|e| Failure::error(format!("{}: {}", path.display(), reason(&e))))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Failure::error(format!("{}: {}", path.display(), reason(&e))))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
        if !name.starts_with('.') && !is_variables(&name) && is_spec(Path::new(&name)) && !is_folder {
            names.push(if path == Path::new(".") { PathBuf::from(name) } else { path.join(name) });
        }
    }
    if names.is_empty() {
        let message = format!("the folder `{}` has no spec", path.display());
        let help = "a spec is a file `*.yaml`, `*.yml` or `*.hcl`; `rhumb init` writes a first one";
        return Err(alone(Diagnostic::error("no-spec", message).help(help)));
    }
    names.sort();
    Ok(names)
}

/// The values of variables, weakest first: environment, files, command line.
///
/// # Errors
/// A `--var` without `=`, or a file that cannot be read.
pub fn variables(args: &SpecArgs, settings: &Settings) -> Result<Vec<(String, String, String)>, Failure> {
    let mut all = Vec::new();
    let mut environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .filter(|(k, _)| k.starts_with("RHUMB_VAR_"))
        .collect();
    environment.sort();
    for (key, value) in environment {
        all.push((key["RHUMB_VAR_".len()..].to_owned(), value, key));
    }
    for path in &args.var_file {
        let shown = path.to_string_lossy().into_owned();
        let bytes = read_capped(&settings.dir.join(path), spec::MAX_FILE_BYTES as u64)
            .map_err(|e| Failure::error(format!("--var-file {shown}: {e}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::error(format!("--var-file {shown}: it is not UTF-8 text")))?;
        let values = spec::parse_values(SourceFile { name: shown.clone(), text })?;
        all.extend(values.into_iter().map(|(name, value)| (name, value, format!("--var-file {shown}"))));
    }
    for text in &args.var {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--var {text}: write --var NAME=VALUE")))?;
        all.push((name.trim().to_owned(), value.to_owned(), "--var".to_owned()));
    }
    Ok(all)
}
