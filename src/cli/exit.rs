//! Exit codes: one table, shown in the documentation and used by the tests.

use crate::placement::Infeasible;

/// How a command ended. When several apply at once, the first of [`Exit::PRECEDENCE`] wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; the check passed; nothing to change.
    Done,
    /// An error, usage errors included.
    Error,
    /// There are changes (`plan --detailed-exitcode`).
    Changes,
    /// A check failed (`check`, `verify`, `preflight`, `status`, `fmt --check`, `calibrate`).
    CheckFailed,
    /// The saved plan is stale or not signed, or the lock is held.
    Stale,
    /// A fact that the chosen placement needs is missing or too old, or a cloud could not tell something (`preflight`).
    Inconclusive,
    /// No placement keeps the promises.
    Infeasible,
    /// The search ended, by its time limit or its effort, before any placement was known, and without a proof that there is none.
    Unfinished,
    /// Interrupted; no file is half-written.
    Interrupted,
}

impl Exit {
    /// Code, name and meaning of every exit.
    pub const TABLE: [(Exit, i32, &'static str, &'static str); 9] = [
        (Exit::Done, 0, "done", "done, passed, or no change"),
        (Exit::Error, 1, "error", "an error, usage errors included"),
        (Exit::Changes, 2, "changes", "there are changes (plan --detailed-exitcode)"),
        (
            Exit::CheckFailed,
            3,
            "check failed",
            "a check failed (check, verify, preflight, status, fmt --check, calibrate)",
        ),
        (Exit::Stale, 4, "stale", "the saved plan is stale or not signed, or the lock is held"),
        (
            Exit::Inconclusive,
            5,
            "inconclusive",
            "a fact that the placement needs is missing or too old, or a cloud could not tell (preflight)",
        ),
        (Exit::Infeasible, 6, "infeasible", "no placement keeps the promises"),
        (
            Exit::Unfinished,
            7,
            "unfinished",
            "the search ended before any placement was known, and did not prove that there is none",
        ),
        (Exit::Interrupted, 130, "interrupted", "interrupted; no file is half-written"),
    ];

    /// Which of several wins.
    pub const PRECEDENCE: [Exit; 8] = [
        Exit::Error,
        Exit::Stale,
        Exit::Infeasible,
        Exit::Unfinished,
        Exit::CheckFailed,
        Exit::Inconclusive,
        Exit::Changes,
        Exit::Done,
    ];

    /// Of a search that found no placement.
    pub fn of(why: &Infeasible) -> Self {
        if why.proven { Exit::Infeasible } else { Exit::Unfinished }
    }

    /// The process's exit code.
    pub fn code(self) -> i32 {
        Exit::TABLE.iter().find(|row| row.0 == self).map_or(1, |row| row.1)
    }

    /// The stronger of two.
    #[must_use]
    pub fn and(self, other: Exit) -> Exit {
        Exit::PRECEDENCE.into_iter().find(|e| *e == self || *e == other).unwrap_or(Exit::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_wins() {
        assert_eq!(Exit::Changes.and(Exit::Infeasible), Exit::Infeasible);
        assert_eq!(Exit::Done.and(Exit::Error), Exit::Error);
        assert_eq!(Exit::Stale.and(Exit::CheckFailed), Exit::Stale);
    }
}
