//! What was typed, and what it means here.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::Failure;

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Work as if started in this folder
    #[arg(short = 'C', long = "chdir", global = true, value_name = "DIR")]
    pub chdir: Option<PathBuf>,
    /// Print JSON with a versioned schema instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but the result and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Plan as of this time (RFC 3339 or YYYY-MM-DD) instead of now
    #[arg(long, global = true, value_name = "TIME")]
    pub at: Option<String>,
}

/// What the options and the environment mean.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that relative paths are read from.
    pub dir: PathBuf,
    /// Machines want JSON.
    pub json: bool,
    /// Nothing but the result.
    pub quiet: bool,
    /// How much more to say.
    pub verbose: u8,
    /// The planning time: `--at`, `SOURCE_DATE_EPOCH`, or now.
    pub now: jiff::Timestamp,
    /// When the command was started, for what is recorded: whatever is planned as of another time is done now.
    pub clock: jiff::Timestamp,
    /// Colour and line drawing on standard output.
    pub color: bool,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Columns of the terminal; 100 when there is none.
    pub width: usize,
    /// The width is that of a terminal or of `COLUMNS`; otherwise lists for `grep` and `awk` keep one line
    /// for each row, however long.
    pub width_known: bool,
}

impl Settings {
    /// Reads the environment: `NO_COLOR`, `CLICOLOR_FORCE`, `SOURCE_DATE_EPOCH`, `COLUMNS`.
    ///
    /// # Errors
    /// A folder that is not there, or a time that is none.
    pub fn resolve(args: &GlobalArgs) -> Result<Self, Failure> {
        let dir = args.chdir.clone().unwrap_or_else(|| PathBuf::from("."));
        if !dir.is_dir() {
            return Err(Failure::usage(format!("-C {}: no such folder", dir.display())));
        }
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let color = !set("NO_COLOR") && (terminal || set("CLICOLOR_FORCE"));
        let now = match (&args.at, std::env::var("SOURCE_DATE_EPOCH")) {
            (Some(text), _) => parse_time(text)?,
            (None, Ok(epoch)) => {
                epoch.parse().ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).ok_or_else(|| {
                    Failure::usage(format!("SOURCE_DATE_EPOCH={epoch}: not a number of seconds"))
                })?
            }
            (None, Err(_)) => jiff::Timestamp::now(),
        };
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).or_else(|| {
            terminal.then(|| terminal_size::terminal_size().map(|(w, _)| usize::from(w.0))).flatten()
        });
        let width = columns.unwrap_or(100).clamp(40, 400);
        Ok(Settings {
            dir,
            json: args.json,
            quiet: args.quiet,
            verbose: args.verbose,
            now,
            clock: clock(),
            color,
            terminal,
            width,
            width_known: columns.is_some(),
        })
    }

    /// The settings by which a list is drawn: without a known width, as wide as it is.
    #[must_use]
    pub fn for_lists(&self) -> Self {
        if self.width_known {
            self.clone()
        } else {
            Settings { width: usize::from(u16::MAX), ..self.clone() }
        }
    }
}

/// The time of this machine's clock. In a build with debug assertions, `RHUMB_CLOCK` says another one, so that tests can record the same
/// twice.
fn clock() -> jiff::Timestamp {
    #[cfg(debug_assertions)]
    if let Some(at) = std::env::var("RHUMB_CLOCK").ok().and_then(|text| text.parse().ok()) {
        return at;
    }
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now)
}

fn parse_time(text: &str) -> Result<jiff::Timestamp, Failure> {
    if let Ok(timestamp) = text.parse() {
        return Ok(timestamp);
    }
    format!("{text}T00:00:00Z")
        .parse()
        .map_err(|_| Failure::usage(format!("--at {text}: write 2026-11-25 or 2026-11-25T06:00:00Z")))
}
