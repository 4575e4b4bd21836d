//! The plan: the difference between what exists and what is wanted, in order, with everything that it
//! rests on.
//!
//! [`between()`] makes one, [`mod@file`] writes and reads one, [`Plan::stale_against`] tells whether one still
//! holds. Which attributes force a replacement is the table in `replace`.

mod asked;
mod basis;
mod between;
mod bill;
mod destroy;
mod diff;
mod dip;
mod ended;
pub mod file;
mod order;
mod prevented;
mod reasons;
mod refused;
mod replace;
mod rollback;
mod rollout;
mod running;
mod sign;
mod stale;
mod standby;
mod surge;
mod year;

pub use crate::graph::attributes::SHARED;
pub use asked::{Asked, AskedError, Pattern};
pub use basis::{budgets, desired, warnings, warnings_of_state};
pub use between::{Desired, Header, between};
pub use bill::complete as complete_bill;
pub use destroy::destroy;
pub use dip::{Dip, dips};
pub use prevented::prevented;
pub use refused::{REFUSED_HOURS, in_words as refused_in_words, refused};
pub use replace::{follows, forces_replacement};
pub use rollback::{Rollback, RollbackError, name_of, names_of, rollback};
pub use rollout::{Rollout, rollouts};
pub use running::running;
pub use sign::{Signature, SigningKey, VerifyingKey};
pub use stale::spec_digest;
pub use standby::{Standby, against, standbys};
pub use surge::{Surge, surge};
pub use year::{Outlook, Period, PeriodCost, Year, YearBudget, year};

use rhumb_api::{Attr, Resource, ResourceAddr};

use crate::catalog::Catalog;
use crate::placement::Placement;
use crate::render::Artifact;
use crate::spec::Spec;
use crate::state::{State, StateResource};

/// A finished plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// `name` of the spec.
    pub name: String,
    /// The planning time, RFC 3339, UTC, seconds.
    pub created: String,
    /// Version of rhumb.
    pub tool_version: String,
    /// SHA-256 of the evaluated spec tree, lower-case hexadecimal.
    pub spec_digest: String,
    /// Digest of the catalogue with the user's own rows and discounts.
    pub catalog_digest: String,
    /// After that it is not applied any more, RFC 3339, UTC, seconds; `None` = it has no such limit.
    pub valid_until: Option<String>,
    /// Everything is to go; then spec and catalogue do not matter, and their digests are those of nothing.
    pub destroy: bool,
    /// What was is to be again; then neither spec nor catalogue matters.
    pub rollback: Option<Rollback>,
    /// What was asked of it besides the spec.
    pub asked: Asked,
    /// What it would do besides and leaves out, ordered by address; what exists of it stays as it is.
    pub left: Vec<Left>,
    /// The state that the plan was made against; `None` = nothing existed.
    pub prior: Option<Prior>,
    /// The confidence that was planned for, a fraction.
    pub confidence: f64,
    /// The user's own catalogue files, by name.
    pub user_files: Vec<String>,
    /// Every resource, wanted or existing, ordered by address.
    pub changes: Vec<Change>,
    /// What apply does, in an order that respects dependencies; resources that stay have no step.
    pub steps: Vec<Step>,
    /// What the state knows besides and nothing needs: what an earlier apply replaced or what failed. It is removed as well.
    pub leftovers: Vec<Leftover>,
    /// What was chosen and why.
    pub placement: Placement,
    /// Rendered files.
    pub artifacts: Vec<Artifact>,
    /// Every monthly budget and the figure that it limits: that of all workloads first, then those of single ones, then those of
    /// labels.
    pub budgets: Vec<BudgetLine>,
    /// The coming year by its seasons; `None` if the spec has none.
    pub year: Option<Year>,
    /// What apply may do where machines are refused, pools in the order of their addresses, each pool's in the order in which they are taken.
    pub standbys: Vec<Standby>,
    /// How machines come and go, ordered by workload; of one that is not listed, all at once.
    pub rollouts: Vec<Rollout>,
    /// Where old machines go before new ones are made, since quotas do not hold both.
    pub dips: Vec<Dip>,
    /// What machines cost while old and new ones are there at once; `None` if at no time there are more than before or after.
    pub surge: Option<Surge>,
    /// Warnings about the spec and the plan, in order.
    pub warnings: Vec<String>,
}

/// The state that a plan was made against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prior {
    /// Its lineage.
    pub lineage: String,
    /// Its serial.
    pub serial: u64,
    /// SHA-256 of its canonical form.
    pub digest: String,
    /// Whether it is of a simulated cloud.
    pub simulated: bool,
}

/// Something that is there and that nothing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The address that it had, or was to have.
    pub addr: ResourceAddr,
    /// The cloud's id.
    pub id: String,
    /// Why it is there, in a word: `replaced`, `failed` or `duplicate`.
    pub why: String,
}

/// A budget; of all workloads if it names neither one nor a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetLine {
    /// The one workload that it limits.
    pub workload: Option<String>,
    /// Name and value of the label whose workloads it limits.
    pub label: Option<(String, String)>,
    /// Dollars a month.
    pub limit: rhumb_api::Money,
    /// Which figure it limits: `expected`, `peak_month` or `ceiling`.
    pub binds: String,
    /// That figure, dollars a month, of everything that is priced.
    pub figure: rhumb_api::Money,
}

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It does not exist yet.
    Create,
    /// It is changed in place.
    Update,
    /// It cannot be changed in place: a new one is made, then the old one removed.
    Replace,
    /// It is no longer wanted.
    Remove,
    /// It stays as it is.
    Keep,
}

/// One resource, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its address.
    pub addr: ResourceAddr,
    /// What happens to it.
    pub action: Action,
    /// Why, in words; never empty unless it stays.
    pub reasons: Vec<String>,
    /// As it exists.
    pub before: Option<Resource>,
    /// As it is wanted.
    pub after: Option<Resource>,
    /// The attributes that differ, ordered by name.
    pub fields: Vec<FieldChange>,
    /// What must exist first.
    pub depends_on: Vec<ResourceAddr>,
}

impl Change {
    /// A fleet whose machines are made anew in place, as it will be, with how many there may be beside them meanwhile: no more than there
    /// are of them.
    fn rolled(&self) -> Option<(&Resource, u32)> {
        let (before, after) = (self.before.as_ref()?, self.after.as_ref()?);
        let template = |of: &Resource| of.attributes.get("launch_template_sha256").cloned();
        if self.action != Action::Update || template(before) == template(after) {
            return None;
        }
        let number = |name: &str| match after.attributes.get(name) {
            Some(Attr::Int(n)) => u32::try_from(*n).unwrap_or(0),
            _ => 0,
        };
        Some((after, number("max_surge").min(number("count"))))
    }

    /// Holds once what is the same before and after: most of a deployment stays as it is.
    fn share(&mut self) {
        if self.before == self.after {
            self.after.clone_from(&self.before);
        }
    }
}

impl Plan {
    /// Holds once what a state says just as the plan does.
    pub fn share(&mut self, state: &State) {
        for change in &mut self.changes {
            if let Some(recorded) = state.resources.get(&change.addr)
                && change.before.as_ref() == Some(&recorded.resource)
            {
                change.before = Some(recorded.resource.clone());
                change.share();
            }
        }
    }
}

/// A change that a plan leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// As it would be.
    pub change: Change,
    /// Why it is left out.
    pub why: LeftWhy,
}

/// Why a change is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftWhy {
    /// It was asked that the plan does a part alone.
    Asked,
    /// It is of a run that has ended and would do the same again.
    Ended,
}

impl LeftWhy {
    /// The word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            LeftWhy::Asked => "asked",
            LeftWhy::Ended => "ended",
        }
    }
}

impl Plan {
    /// The same with what it takes to lead from what is to what will be ([`Plan::dips`], [`Plan::surge`]), once its changes are as they
    /// are to be.
    #[must_use]
    pub fn weighed(mut self, spec: &Spec, catalog: &Catalog) -> Plan {
        self.dips = dips(&self.changes, spec, catalog);
        self.surge = surge(&self.changes, &self.dips, catalog);
        self
    }

    /// Whether several pools may be replaced where machines are refused: no budget and nothing else binds them together.
    pub fn apart(&self) -> bool {
        self.budgets.is_empty() && self.placement.coupling.is_none()
    }

    /// Whether it follows from recorded states alone, so that it promises nothing and no spec or catalogue makes it stale.
    pub fn of_states(&self) -> bool {
        self.destroy || self.rollback.is_some()
    }
}

impl Change {
    /// That of something that stays as it is recorded.
    fn kept(addr: &ResourceAddr, thing: &StateResource) -> Self {
        Change {
            addr: addr.clone(),
            action: Action::Keep,
            reasons: Vec::new(),
            before: Some(thing.resource.clone()),
            after: Some(thing.resource.clone()),
            fields: Vec::new(),
            depends_on: thing.depends_on.clone(),
        }
    }
}

/// An attribute that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Attribute name, `.` between levels.
    pub name: String,
    /// As it exists.
    pub before: Option<Attr>,
    /// As it is wanted.
    pub after: Option<Attr>,
    /// Whether this alone forces a replacement.
    pub forces_replacement: bool,
}

/// One step of apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it works on.
    pub addr: ResourceAddr,
    /// What it does there.
    pub action: Action,
}
