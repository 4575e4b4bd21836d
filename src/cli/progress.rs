//! Progress of long work: a spinner on a terminal, a plain line elsewhere with `-v`, nothing with `--quiet`.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::Settings;

/// Work that is under way.
pub struct Progress(Option<indicatif::ProgressBar>);

/// Says that work begins.
pub fn start(what: &'static str, settings: &Settings) -> Progress {
    if settings.quiet {
        return Progress(None);
    }
    if std::io::stderr().is_terminal() {
        let bar = indicatif::ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        return Progress(Some(bar));
    }
    if settings.verbose > 0 {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{what} ...");
    }
    Progress(None)
}

impl Progress {
    /// Says that it is done.
    pub fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
