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

/// Work of which it is known how much is done.
pub struct Count {
    bar: Option<indicatif::ProgressBar>,
    what: &'static str,
    lines: bool,
}

/// Says that work begins whose parts are counted.
pub fn count(what: &'static str, settings: &Settings) -> Count {
    let terminal = std::io::stderr().is_terminal();
    let bar = (terminal && !settings.quiet).then(|| {
        let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
        let bar = indicatif::ProgressBar::new(0).with_message(what);
        style.map_or(bar.clone(), |s| bar.with_style(s))
    });
    Count { bar, what, lines: !terminal && !settings.quiet && settings.verbose > 0 }
}

impl Count {
    /// So much is done.
    pub fn at(&self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
        }
        if self.lines {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{} {done} of {all}", self.what);
        }
    }

    /// Says that all is done.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
