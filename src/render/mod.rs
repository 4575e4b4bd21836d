//! The files that machines get: the start script of an engine or a training and its environment, hashed.
//!
//! Two files per launch template, from its attributes alone: [`START_SCRIPT`] and [`ENVIRONMENT`]. They hold
//! references to secrets, never secrets, and no name of an image, since none is chosen here. A machine that services share has
//! one start script and an environment for each pool on it, `engine-PORT.env` by the pool's first port.
//!
//! What the script relies on is put on the machine by whatever makes it: the engine, the environment file
//! beside the script, the file that `RHUMB_API_KEY_FILE` names, and, where a replica spans machines,
//! `RHUMB_NODE_RANK` and `RHUMB_LEADER_ADDRESS`. The script says so and stops when one is missing; on a shared machine the
//! engine that lacks it does, and is tried again, while the others run.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use rhumb_api::{Attr, Attributes, Resource, ResourceAddr, ResourceKind};
use sha2::{Digest, Sha256};

use crate::graph::Graph;

/// File name of the start script.
pub const START_SCRIPT: &str = "start.sh";

/// File name of the environment.
pub const ENVIRONMENT: &str = "engine.env";

/// Of one that starts the engines of several pools.
const SHARED_SCRIPT: &str = "shared.sh";

/// The start script of a training.
const TRAINING_SCRIPT: &str = "train.sh";

/// The environment of a training.
const TRAINING_ENVIRONMENT: &str = "train.env";

/// Those of a pipeline.
const PIPELINE_SCRIPT: &str = "pipeline.sh";
/// Their environment.
const PIPELINE_ENVIRONMENT: &str = "pipeline.env";
/// Those of a member of a federation.
const FEDERATION_SCRIPT: &str = "federation.sh";
/// Their environment.
const FEDERATION_ENVIRONMENT: &str = "federation.env";
/// The start script of a team's own server.
const SERVER_SCRIPT: &str = "serve.sh";

/// The start script of what was measured as a whole machine.
const PROFILE_SCRIPT: &str = "profile.sh";

/// Its environment.
const PROFILE_ENVIRONMENT: &str = "profile.env";

/// The environment of such a server.
const SERVER_ENVIRONMENT: &str = "serve.env";

/// A rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Address of the launch template that carries it.
    pub addr: ResourceAddr,
    /// File name on the machine.
    pub name: String,
    /// Its text.
    pub content: String,
    /// SHA-256 of the text, lower-case hexadecimal.
    pub sha256: String,
}

/// Why a file cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The attributes do not fill the template.
    #[error("{addr}: {name} cannot be rendered: {reason}")]
    Template {
        /// The launch template.
        addr: String,
        /// The file.
        name: &'static str,
        /// The reason.
        reason: String,
    },
    /// The engine cannot be started this way.
    #[error("{addr}: {reason}")]
    Unsupported {
        /// The launch template.
        addr: String,
        /// The reason, in words.
        reason: String,
        /// What to write instead.
        fix: String,
    },
}

/// The files of every launch template, ordered by address and name.
///
/// # Errors
/// An engine that cannot be started as it was planned, or attributes that are not those of
/// [`crate::graph::attributes`].
pub fn artifacts(desired: &Graph<Resource>) -> Result<Vec<Artifact>, RenderError> {
    let templates = templates()?;
    let mut artifacts = Vec::new();
    for key in desired.keys() {
        let Some(resource) = desired.get(key) else { continue };
        if resource.kind != ResourceKind::LaunchTemplate {
            continue;
        }
        let addr = ResourceAddr::parse(key).map_err(|e| RenderError::Template {
            addr: key.to_owned(),
            name: START_SCRIPT,
            reason: e.to_string(),
        })?;
        let files = match resource.attributes.get("engines") {
            Some(Attr::Map(engines)) => shared_files(&templates, &addr, resource, engines)?,
            _ => own_files(&templates, &addr, resource)?,
        };
        artifacts.extend(files.into_iter().map(|(name, content)| {
            let sha256 = hex(&Sha256::digest(content.as_bytes()));
            Artifact { addr: addr.clone(), name, content, sha256 }
        }));
    }
    Ok(artifacts)
}

/// Texts by file name.
type Files = BTreeMap<String, String>;

fn own_files(
    templates: &Environment<'_>,
    addr: &ResourceAddr,
    resource: &Resource,
) -> Result<Files, RenderError> {
    let of = if resource.attributes.contains_key("training") {
        [(ENVIRONMENT, TRAINING_ENVIRONMENT), (START_SCRIPT, TRAINING_SCRIPT)]
    } else if resource.attributes.contains_key("pipeline") {
        [(ENVIRONMENT, PIPELINE_ENVIRONMENT), (START_SCRIPT, PIPELINE_SCRIPT)]
    } else if resource.attributes.contains_key("federation") {
        [(ENVIRONMENT, FEDERATION_ENVIRONMENT), (START_SCRIPT, FEDERATION_SCRIPT)]
    } else if resource.attributes.contains_key("server") {
        [(ENVIRONMENT, SERVER_ENVIRONMENT), (START_SCRIPT, SERVER_SCRIPT)]
    } else if resource.attributes.contains_key("measured") {
        [(ENVIRONMENT, PROFILE_ENVIRONMENT), (START_SCRIPT, PROFILE_SCRIPT)]
    } else {
        refuse_unsupported(addr.as_str(), &resource.attributes)?;
        [(ENVIRONMENT, ENVIRONMENT), (START_SCRIPT, START_SCRIPT)]
    };
    let mut files = Files::new();
    for (name, template) in of {
        let content = fill(templates, addr.as_str(), template, resource, &Attributes::default())?;
        files.insert(name.to_owned(), content);
    }
    Ok(files)
}

fn shared_files(
    templates: &Environment<'_>,
    addr: &ResourceAddr,
    resource: &Resource,
    engines: &Attributes,
) -> Result<Files, RenderError> {
    let mut files = Files::new();
    for (pool, engine) in engines {
        let Attr::Map(engine) = engine else { continue };
        refuse_unsupported(pool, engine)?;
        let Some(Attr::Int(port)) = engine.get("port") else { continue };
        let mut own = engine.clone();
        own.insert("api_key_file", Attr::Text(format!("/run/rhumb/{port}/api_key")));
        let content = fill(templates, pool, ENVIRONMENT, resource, &own)?;
        files.insert(environment_of(*port), content);
    }
    let script = fill(templates, addr.as_str(), SHARED_SCRIPT, resource, &Attributes::default())?;
    files.insert(START_SCRIPT.to_owned(), script);
    Ok(files)
}

/// The environment of the engines of a pool on shared machines, by its first port.
fn environment_of(port: i64) -> String {
    format!("engine-{port}.env")
}

/// The graph with the hash of each file on its launch template (`start_script_sha256`,
/// `environment_sha256` or, by file, `environments_sha256`), so that a changed file is a changed launch template, and with the hash of its
/// launch template on each fleet and run (`launch_template_sha256`), so that machines which were started
/// from another one are seen to be out of date.
#[must_use]
pub fn with_hashes(mut desired: Graph<Resource>, artifacts: &[Artifact]) -> Graph<Resource> {
    for artifact in artifacts {
        let Some(resource) = desired.get_mut(artifact.addr.as_str()) else { continue };
        let sha256 = Attr::from(artifact.sha256.as_str());
        let attributes = &mut resource.attributes;
        match artifact.name.as_str() {
            START_SCRIPT => drop(attributes.insert("start_script_sha256", sha256)),
            ENVIRONMENT => drop(attributes.insert("environment_sha256", sha256)),
            name => {
                let mut files = match attributes.remove("environments_sha256") {
                    Some(Attr::Map(files)) => files,
                    _ => Attributes::default(),
                };
                files.insert(name, sha256);
                attributes.insert("environments_sha256", Attr::Map(files));
            }
        }
    }
    let starts: Vec<(String, String)> = desired
        .keys()
        .filter_map(|key| {
            let resource = desired.get(key)?;
            if !matches!(resource.kind, ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit) {
                return None;
            }
            let Some(Attr::Text(template)) = resource.attributes.get("launch_template") else { return None };
            Some((key.to_owned(), template_hash(desired.get(template)?)))
        })
        .collect();
    for (key, hash) in starts {
        if let Some(resource) = desired.get_mut(&key) {
            resource.attributes.insert("launch_template_sha256", Attr::from(hash.as_str()));
        }
    }
    desired
}

/// SHA-256 of what a launch template makes of a machine: all but its labels, which change on a machine that
/// runs.
fn template_hash(template: &Resource) -> String {
    let mut hash = Sha256::new();
    for (name, attr) in template.attributes.iter().filter(|(name, _)| *name != "labels") {
        feed_text(&mut hash, name);
        feed(&mut hash, attr);
    }
    hex(&hash.finalize())
}

fn feed_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

/// A tag and a length before each value keep different values apart.
fn feed(hash: &mut Sha256, attr: &Attr) {
    match attr {
        Attr::Bool(b) => hash.update([0, u8::from(*b)]),
        Attr::Int(n) => {
            hash.update([1]);
            hash.update(n.to_le_bytes());
        }
        Attr::Text(text) => {
            hash.update([2]);
            feed_text(hash, text);
        }
        Attr::List(items) => {
            hash.update([3]);
            hash.update((items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| feed(hash, item));
        }
        Attr::Map(entries) => {
            hash.update([4]);
            hash.update((entries.len() as u64).to_le_bytes());
            for (key, value) in entries {
                feed_text(hash, key);
                feed(hash, value);
            }
        }
    }
}

/// Puts a text in POSIX single quotes, so that a shell takes it as one word whatever it holds.
pub fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn templates() -> Result<Environment<'static>, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let failed = |e: minijinja::Error| RenderError::Template {
        addr: "templates".to_owned(),
        name: START_SCRIPT,
        reason: e.to_string(),
    };
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .map_err(failed)?;
    environment.set_syntax(syntax);
    environment.add_filter("shell", |value: &minijinja::Value| shell_filter(value));
    environment.add_filter("comment", |text: String| text.replace(char::is_control, " "));
    environment.add_filter("fraction", |permille: i64| format!("{}.{:03}", permille / 1000, permille % 1000));
    environment.add_filter("gpu", visible_devices);
    environment.add_filter("sixteen_bit", sixteen_bit);
    environment.add_filter("amd", |accelerator: String| is_amd(&accelerator));
    let sources = [
        (START_SCRIPT, include_str!("../../templates/deploy/start.sh.j2")),
        (SHARED_SCRIPT, include_str!("../../templates/deploy/shared.sh.j2")),
        (TRAINING_SCRIPT, include_str!("../../templates/deploy/train.sh.j2")),
        (TRAINING_ENVIRONMENT, include_str!("../../templates/deploy/train.env.j2")),
        (PIPELINE_SCRIPT, include_str!("../../templates/deploy/pipeline.sh.j2")),
        (PIPELINE_ENVIRONMENT, include_str!("../../templates/deploy/pipeline.env.j2")),
        (FEDERATION_SCRIPT, include_str!("../../templates/deploy/federation.sh.j2")),
        (FEDERATION_ENVIRONMENT, include_str!("../../templates/deploy/federation.env.j2")),
        (SERVER_SCRIPT, include_str!("../../templates/deploy/serve.sh.j2")),
        (SERVER_ENVIRONMENT, include_str!("../../templates/deploy/serve.env.j2")),
        (PROFILE_SCRIPT, include_str!("../../templates/deploy/profile.sh.j2")),
        (PROFILE_ENVIRONMENT, include_str!("../../templates/deploy/profile.env.j2")),
        (ENVIRONMENT, include_str!("../../templates/deploy/engine.env.j2")),
        ("vllm.j2", include_str!("../../templates/deploy/vllm.j2")),
        ("sglang.j2", include_str!("../../templates/deploy/sglang.j2")),
        ("trtllm.j2", include_str!("../../templates/deploy/trtllm.j2")),
    ];
    for (name, source) in sources {
        environment.add_template(name, source).map_err(failed)?;
    }
    Ok(environment)
}

fn shell_filter(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        return Err(minijinja::Error::new(ErrorKind::UndefinedError, "nothing to quote"));
    }
    let text = value.to_string();
    if text.contains('\0') {
        let reason = "a NUL character cannot be part of a shell word";
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason));
    }
    Ok(shell_quoted(&text))
}

fn is_amd(accelerator: &str) -> bool {
    accelerator.starts_with("mi") || accelerator.starts_with("radeon")
}

/// The variable that limits an engine process to some accelerators, by the maker of the accelerator.
fn visible_devices(accelerator: String) -> String {
    if is_amd(&accelerator) { "HIP_VISIBLE_DEVICES" } else { "CUDA_VISIBLE_DEVICES" }.to_owned()
}

/// The 16-bit type of an accelerator: NVIDIA's before Ampere have no bf16.
fn sixteen_bit(accelerator: String) -> &'static str {
    let before = ["v100-", "t4-", "t4g-", "p100-", "p4-", "m60-", "k80-"];
    if before.iter().any(|p| accelerator.starts_with(p)) { "float16" } else { "bfloat16" }
}

/// The template with the attributes of the resource, those of `own` before them.
fn fill(
    templates: &Environment<'_>,
    addr: &str,
    name: &'static str,
    resource: &Resource,
    own: &Attributes,
) -> Result<String, RenderError> {
    let failed =
        |e: minijinja::Error| RenderError::Template { addr: addr.to_owned(), name, reason: e.to_string() };
    let attributes = resource.attributes.iter().chain(own);
    let mut context: BTreeMap<&str, minijinja::Value> =
        attributes.map(|(key, attr)| (key, value(attr))).collect();
    context.insert("address", addr.into());
    context.insert("cloud", resource.cloud.as_str().into());
    context.insert("region", resource.region.as_str().into());
    templates.get_template(name).map_err(failed)?.render(context).map_err(failed)
}

fn value(attr: &Attr) -> minijinja::Value {
    match attr {
        Attr::Bool(b) => (*b).into(),
        Attr::Int(n) => (*n).into(),
        Attr::Text(text) => text.as_str().into(),
        Attr::List(items) => items.iter().map(value).collect(),
        Attr::Map(entries) => minijinja::Value::from_pairs(entries.iter().map(|(k, v)| (k, value(v)))),
    }
}

fn at<'a>(attributes: &'a Attributes, map: &str, key: &str) -> Option<&'a Attr> {
    match attributes.get(map) {
        Some(Attr::Map(entries)) => entries.get(key),
        _ => None,
    }
}

/// What the engines' own servers cannot do is an error here, so that it is not found out on the machine.
fn refuse_unsupported(addr: &str, attributes: &Attributes) -> Result<(), RenderError> {
    let engine = match at(attributes, "engine", "name") {
        Some(Attr::Text(name)) => name.as_str(),
        _ => "",
    };
    let number = |map: &str, key: &str| match at(attributes, map, key) {
        Some(Attr::Int(n)) => *n,
        _ => 1,
    };
    let spans = matches!(attributes.get("machines_per_replica"), Some(Attr::Int(n)) if *n > 1);
    let wide = number("engine", "data_parallel_size") > 1 && number("engine", "tensor_parallel_size") > 1;
    let (reason, fix) = match engine {
        "vllm" | "sglang" => return Ok(()),
        "trtllm" if spans => (
            "TensorRT-LLM spans machines only under an MPI launcher, which is not rendered",
            "write `engine.name: vllm` or `sglang`, or limit `placement.instance_types` to those that hold a \
             whole replica",
        ),
        "trtllm" if attributes.contains_key("api_keys") => (
            "trtllm-serve does not check API keys",
            "make the endpoint private without `api_keys`, or write `engine.name: vllm` or `sglang`",
        ),
        "trtllm" if wide => (
            "TensorRT-LLM has attention either tensor parallel or data parallel, not both",
            "write `engine.args.data_parallel_size: 1` or `tensor_parallel_size: 1`, or `engine.name: vllm` or \
             `sglang`",
        ),
        "trtllm" => return Ok(()),
        _ => ("the engine is not known", "write `engine.name: vllm`, `sglang` or `trtllm`"),
    };
    Err(RenderError::Unsupported { addr: addr.to_owned(), reason: reason.to_owned(), fix: fix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_keeps_a_word_a_word() {
        assert_eq!(shell_quoted("a b"), "'a b'");
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
        assert_eq!(shell_quoted(""), "''");
        assert!(shell_filter(&"a\0b".into()).is_err());
        assert!(shell_filter(&minijinja::Value::UNDEFINED).is_err());
    }

    #[test]
    fn hashes_are_those_of_the_standard() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(&Sha256::digest(b"")), empty);
    }
}
