//! `rhumb init`.

use std::path::PathBuf;

use crate::catalog::Catalog;
use crate::cli::files::write_atomically;
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings};
use crate::diagnostic::{SourceFile, did_you_mean};
use crate::spec::{self, Sources, use_case};

/// Write a commented spec that plans at once
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it is for: chat, code, rag, embedding, or a template of `rhumb schema services.use_case`
    #[arg(long, value_name = "NAME")]
    use_case: String,
    /// A known model, for example Qwen/Qwen3-32B
    #[arg(long, value_name = "NAME")]
    model: String,
    /// The language
    #[arg(long, value_name = "LANGUAGE", default_value = "yaml")]
    lang: Lang,
    /// The file to write, - for standard output; an existing file is never overwritten [default: deploy.yaml or deploy.hcl]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A language to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Lang {
    Yaml,
    Hcl,
}

/// Short names of common uses, and the templates behind them; none is a batch.
const SHORT: [(&str, Option<&str>); 4] = [
    ("chat", Some("chatbot_conversational")),
    ("code", Some("code_completion")),
    ("rag", Some("document_analysis_rag")),
    ("embedding", None),
];

const SERVICE_YAML: &str = include_str!("../../../templates/init/service.yaml.j2");
const SERVICE_HCL: &str = include_str!("../../../templates/init/service.hcl.j2");
const BATCH_YAML: &str = include_str!("../../../templates/init/batch.yaml.j2");
const BATCH_HCL: &str = include_str!("../../../templates/init/batch.hcl.j2");

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let template = template_of(&args.use_case)?;
    let vocabulary = Catalog::embedded().vocabulary();
    let text = render(args, template)?;
    let extension = if args.lang == Lang::Hcl { "hcl" } else { "yaml" };
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("deploy.{extension}")));
    let standard = out.as_os_str() == "-";
    if !standard && spec::language(&out.to_string_lossy()) != language(args.lang) {
        let name = out.display();
        return Err(Failure::usage(format!(
            "--out {name}: name a file that ends in .{extension}, or change --lang"
        )));
    }
    // What is written is read first: an unknown model is told as in any spec.
    let name = if standard { format!("deploy.{extension}") } else { out.to_string_lossy().into_owned() };
    let read = |_: &str| Err("not while writing a first spec".to_owned());
    spec::load(&Sources {
        files: vec![SourceFile { name, text: text.clone() }],
        variables: Vec::new(),
        vocabulary: &vocabulary,
        read: &read,
    })
    .map_err(|mut diagnostics| {
        // The position is in a file that does not exist.
        for problem in &mut diagnostics.list {
            problem.span = None;
        }
        diagnostics
    })?;
    if standard {
        print(&text)?;
        return Ok(Exit::Done);
    }
    let path = settings.dir.join(&out);
    if path.symlink_metadata().is_ok() {
        return Err(Failure::error(format!("{}: is there already and was not overwritten", out.display())));
    }
    write_atomically(&path, text.as_bytes(), 0o644)?;
    if settings.json {
        let value = serde_json::json!({ "schema": "rhumb.init/1", "file": out.to_string_lossy() });
        print(&format!("{value}\n"))?;
    } else if !settings.quiet {
        print(&format!("wrote {0}; next: rhumb plan {0}\n", out.display()))?;
    }
    Ok(Exit::Done)
}

fn language(lang: Lang) -> spec::Language {
    match lang {
        Lang::Yaml => spec::Language::Yaml,
        Lang::Hcl => spec::Language::Hcl,
    }
}

fn template_of(name: &str) -> Result<Option<&'static str>, Failure> {
    if let Some((_, template)) = SHORT.iter().find(|(short, _)| *short == name) {
        return Ok(*template);
    }
    if let Some(found) = use_case::find(name) {
        return Ok(Some(found.name));
    }
    let known = || SHORT.iter().map(|(short, _)| *short).chain(use_case::NAMES.iter().copied());
    let help = did_you_mean(name, known()).map_or_else(
        || format!("known: {}", known().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean {near}?"),
    );
    Err(Failure::usage(format!("--use-case {name} is not known; {help}")))
}

fn render(args: &Args, template: Option<&str>) -> Result<String, Failure> {
    let source = match (template.is_some(), args.lang) {
        (true, Lang::Yaml) => SERVICE_YAML,
        (true, Lang::Hcl) => SERVICE_HCL,
        (false, Lang::Yaml) => BATCH_YAML,
        (false, Lang::Hcl) => BATCH_HCL,
    };
    let name = match template {
        Some(_) => args.use_case.replace('_', "-"),
        None => "embed".to_owned(),
    };
    let title = match template {
        Some(template) => format!("{} with {}", template.replace('_', " "), args.model),
        None => format!("Embedding of many items with {}", args.model),
    };
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let context = minijinja::context! {
        title => title.replace(|c: char| c.is_control(), " "),
        name => name,
        model => serde_json::Value::from(args.model.as_str()).to_string(),
        use_case => template.unwrap_or_default(),
        peak => 5,
    };
    environment
        .render_str(source, context)
        .map(|text| format!("{}\n", text.trim_end()))
        .map_err(|e| Failure::error(format!("the template of a first spec is broken: {e}")))
}
