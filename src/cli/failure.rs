//! A command that could not do its work, and how that is told.

use std::ffi::OsString;

use super::stdout::{print, print_error};
use super::{Exit, Settings};
use crate::diagnostic::Diagnostics;

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// Problems in files that a person wrote.
    Diagnostics(Box<Diagnostics>),
    /// Anything else: what was being done, and why it failed.
    Message {
        /// The exit.
        exit: Exit,
        /// For people, one paragraph, no trailing newline.
        text: String,
    },
}

impl Failure {
    /// A wrong call of the command line.
    pub fn usage(text: impl Into<String>) -> Self {
        Failure::Message { exit: Exit::Error, text: text.into() }
    }

    /// Anything else that is an error.
    pub fn error(text: impl Into<String>) -> Self {
        Failure::Message { exit: Exit::Error, text: text.into() }
    }

    /// Prints on standard error (with `--json`, a JSON object on standard output) and returns the exit code.
    pub fn report(&self, settings: &Settings) -> i32 {
        match self {
            Failure::Diagnostics(diagnostics) => {
                super::view::diagnostics::print(diagnostics, settings);
                Exit::Error.code()
            }
            Failure::Message { exit, text } => message(*exit, text, settings.json),
        }
    }

    /// As [`Failure::report`], before the settings are known.
    pub fn report_before_settings(&self, json: bool) -> i32 {
        match self {
            Failure::Diagnostics(diagnostics) if json => {
                let _ = print(&format!("{:#}\n", super::view::diagnostics::json(diagnostics)));
                Exit::Error.code()
            }
            Failure::Diagnostics(diagnostics) => {
                print_error(&super::view::diagnostics::text(diagnostics, false, 100));
                Exit::Error.code()
            }
            Failure::Message { exit, text } => message(*exit, text, json),
        }
    }
}

fn message(exit: Exit, text: &str, json: bool) -> i32 {
    let text = &without_secrets(text);
    if json {
        let value = serde_json::json!({ "schema": "rhumb.error/1", "error": text, "exit": exit.code() });
        // Behind the events of a stream, an object a line.
        let _ = print(&format!("{value}\n"));
    } else {
        print_error(&format!("error: {text}\n"));
    }
    exit.code()
}

/// What the names of variables that hold secrets have in them.
const SECRET: [&str; 14] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "API_KEY",
    "ACCOUNT_KEY",
    "ACCESS_KEY",
    "STORAGE_KEY",
    "PRIVATE_KEY",
    "SAS_KEY",
    "CREDENTIALS",
    "PASSWD",
    "PASSPHRASE",
    "CONNECTION_STRING",
    "_PASS",
];

/// A text without the secrets of the environment, whoever quotes them.
pub fn without_secrets(text: &str) -> String {
    redacted(text, std::env::vars_os())
}

/// A text without the secrets among variables: servers explain what they refuse by repeating it.
fn redacted(text: &str, variables: impl Iterator<Item = (OsString, OsString)>) -> String {
    let mut text = text.to_owned();
    for (name, value) in variables {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        let upper = name.to_uppercase();
        let names_one = ["_ID", "_FILE", "_PATH"].iter().any(|end| upper.ends_with(end));
        let is_secret = SECRET.iter().any(|part| upper.contains(part)) && !names_one;
        // A short value would be found in words that have nothing to do with it.
        if is_secret && value.len() >= 8 {
            text = text.replace(value, &format!("(the value of {name})"));
        }
    }
    text
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Failure::Diagnostics(Box::new(diagnostics))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_environment_are_not_repeated() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(OsString, OsString)> =
                pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
            redacted("denied: AKIAEXAMPLE with s3cr3t/value+1 of /home/ann/key.json", pairs.into_iter())
        };
        assert_eq!(
            of(&[("AWS_SECRET_ACCESS_KEY", "s3cr3t/value+1"), ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")]),
            "denied: AKIAEXAMPLE with (the value of AWS_SECRET_ACCESS_KEY) of /home/ann/key.json"
        );
        let as_it_is =
            of(&[("HOME", "/home/ann"), ("HF_TOKEN", "with"), ("A_SECRET_FILE", "/home/ann/key.json")]);
        assert!(as_it_is.contains("with s3cr3t/value+1 of /home/ann/key.json"), "{as_it_is}");
    }
}
