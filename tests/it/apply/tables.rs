//! Tables in the repository: the command that remakes one says of what day and of which revision its figures are.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// A table that is being made.
pub struct Table {
    path: PathBuf,
    began: Instant,
    /// Of what is run, rather than of what is there when it has ended.
    revision: String,
}

fn git(args: &[&str]) -> String {
    let output = Command::new("git").args(args).output().expect("git");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Why a table of these sources would be of no revision; `changed` as `git status --porcelain` tells it.
fn of_no_revision(changed: &str) -> Option<String> {
    let why = "a table is of a revision, and these sources are of none; commit them, or make it in a work tree without them";
    (!changed.is_empty()).then(|| format!("{why}:\n{changed}"))
}

impl Table {
    /// The file that a variable of the environment names, if it does.
    pub fn named_by(variable: &str) -> Option<Self> {
        let path = std::env::var_os(variable)?.into();
        if let Some(why) = of_no_revision(&git(&["status", "--porcelain", "--", "src", "providers"])) {
            panic!("{why}");
        }
        Some(Table { path, began: Instant::now(), revision: git(&["rev-parse", "--short", "HEAD"]) })
    }

    /// Puts figures and rows into the place of those that are there.
    pub fn write(self, figures: &str, rows: &str) {
        let day = jiff::Timestamp::now().to_string();
        let day = day.get(..10).unwrap_or_default();
        let (revision, took) = (&self.revision, self.began.elapsed().as_secs());
        let of = format!("Of {day}, revision {revision}, in {took} s on {}. {figures}", machine());
        let old = std::fs::read_to_string(&self.path).unwrap_or_default();
        std::fs::write(&self.path, remade(&old, &of, rows)).expect("written");
    }
}

/// The processor, and how many of it are ours.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} x {}", name.map_or("an unknown processor", |(_, name)| name.trim()))
}

/// What a file becomes: what stands above its table stays, but for the paragraph that begins with `Of`, which the figures take the
/// place of.
fn remade(old: &str, figures: &str, rows: &str) -> String {
    let head = if old.starts_with('|') { "" } else { old.split("\n|").next().unwrap_or_default() };
    let mut told: Vec<&str> = head.split("\n\n").map(str::trim).filter(|told| !told.is_empty()).collect();
    match told.iter().position(|told| told.starts_with("Of ")) {
        Some(at) => told[at] = figures,
        None => told.push(figures),
    }
    format!("{}\n\n{}\n", told.join("\n\n"), rows.trim_end())
}

#[test]
fn figures_are_exchanged_and_other_prose_stays() {
    let old = "# Title\n\nOn what it is.\n\nOf 2026-01-01, revision old: 7 points.\n\n- one\n- two\n\n| a |\n|---|\n| old |\n\n7 points.\n";
    let new = remade(old, "Of today: 8 points.", "| a | b |\n|---|---|\n| new | 1 |\n");
    assert_eq!(
        new,
        "# Title\n\nOn what it is.\n\nOf today: 8 points.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| new | 1 |\n"
    );
    // Once more leads to the same; where no figures were, they come last; from nothing as well.
    assert_eq!(remade(&new, "Of today: 8 points.", "| a | b |\n|---|---|\n| new | 1 |"), new);
    assert_eq!(remade("# Title\n\n| a |\n", "Of 1.", "| a |"), "# Title\n\nOf 1.\n\n| a |\n");
    assert_eq!(remade("", "Of 1.", "| a |"), "Of 1.\n\n| a |\n");
}

#[test]
fn sources_that_were_changed_are_of_no_revision() {
    assert_eq!(of_no_revision(""), None);
    let why = of_no_revision(" M src/apply/machine.rs").expect("a reason");
    assert!(why.contains("commit them") && why.ends_with(" M src/apply/machine.rs"), "{why}");
}
