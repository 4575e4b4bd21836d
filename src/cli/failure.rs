//! A command that could not do its work, and how that is told.

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
    if json {
        let value = serde_json::json!({ "schema": "rhumb.error/1", "error": text, "exit": exit.code() });
        let _ = print(&format!("{value:#}\n"));
    } else {
        print_error(&format!("error: {text}\n"));
    }
    exit.code()
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Failure::Diagnostics(Box::new(diagnostics))
    }
}
