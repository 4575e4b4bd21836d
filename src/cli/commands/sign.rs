//! `rhumb sign`.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings, files, keys};
use crate::plan;

/// Name and version of the output: `src/cli/commands/sign/schema.json`.
const SCHEMA: &str = "rhumb.sign/1";

/// Sign a saved plan: what is approved is what `apply --require-signature` then applies
///
/// Keys are Ed25519 in PEM: `openssl genpkey -algorithm ed25519 -out key.pem` makes a private one, `openssl pkey -in key.pem -pubout` its
/// public half. Several may sign one plan.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `plan --out` wrote
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// The private key: a file, or env:NAME for a variable of the environment
    #[arg(long, value_name = "KEY")]
    pub key: String,
}

/// Runs the command.
///
/// # Errors
/// Plan or key cannot be read, or the plan cannot be written.
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let name = args.plan.display().to_string();
    let path = settings.dir.join(&args.plan);
    let text = files::read_text(&path)?;
    let (plan, mut signatures) =
        plan::file::decode_signed(&name, &text).map_err(|e| Failure::error(e.to_string()))?;
    let digest = plan::file::digest_of(&plan);
    let own = keys::signing(&args.key, settings)?.sign(&digest);
    let key = own.key.clone();
    signatures.retain(|other| other.key != key);
    signatures.push(own);
    signatures.sort();
    let signed = plan::file::encode_signed(&plan, signatures);
    files::write_atomically(&path, signed.as_bytes(), 0o600)?;
    if settings.json {
        print(&(json!({ "schema": SCHEMA, "plan": digest, "key": key, "file": name }).to_string() + "\n"))?;
    } else if !settings.quiet {
        print(&format!("{name}: signed by {key}\nThe plan is {digest}.\n"))?;
    }
    Ok(Exit::Done)
}
