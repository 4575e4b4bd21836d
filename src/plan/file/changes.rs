//! The plan itself, its changes and its files, in a plan file.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Cloud, Money, Resource, ResourceAddr};

use super::mirror::{mirror, words};
use crate::placement::{Placement, Stop};
use crate::plan::{
    Action, Asked, BudgetLine, Change, Dip, FieldChange, Left, LeftWhy, Leftover, Pattern, Plan, Prior,
    Rollback, Rollout, Standby, Step, Surge,
};
use crate::plan::{Outlook, Period, PeriodCost, Year, YearBudget};
use crate::render::Artifact;
use crate::spec::season::SpanPeak;

words!(ActionWord for Action {
    Create = "create",
    Update = "update",
    Replace = "replace",
    Remove = "remove",
    Keep = "keep",
});

mirror!(PlanBody for Plan {
    name: String,
    created: String,
    tool_version: String,
    spec_digest: String,
    catalog_digest: String,
    valid_until: Option<String>,
    destroy: bool,
    rollback: Option<Rollback>,
    asked: Asked,
    left: Vec<Left>,
    prior: Option<Prior>,
    confidence: f64,
    user_files: Vec<String>,
    changes: Vec<Change>,
    steps: Vec<Step>,
    leftovers: Vec<Leftover>,
    placement: Placement,
    artifacts: Vec<Artifact>,
    budgets: Vec<BudgetLine>,
    year: Option<Year>,
    standbys: Vec<Standby>,
    rollouts: Vec<Rollout>,
    dips: Vec<Dip>,
    surge: Option<Surge>,
    warnings: Vec<String>,
});

words!(LeftWhyWord for LeftWhy { Asked = "asked", Ended = "ended" });

mirror!(RolloutFile for Rollout { workload: String, health_timeout_s: u32, roll_back: bool, waves: Vec<Vec<String>> });

mirror!(SurgeFile for Surge { before: Money, during: Money, after: Money, unpriced: u32 });

mirror!(DipFile for Dip {
    cloud: Cloud,
    place: String,
    code: String,
    unit: String,
    limit: f64,
    needed: f64,
    first: Vec<ResourceAddr>,
    then: Vec<ResourceAddr>,
    machines: u32,
    left: u32,
});

mirror!(RollbackFile for Rollback { to: u64, digest: String });

mirror!(LeftFile for Left { change: Change, why: LeftWhy });

mirror!(AskedFile for Asked { targets: Vec<Pattern>, excludes: Vec<Pattern>, replace: Vec<ResourceAddr> });

mirror!(StandbyFile for Standby {
    pool: ResourceAddr,
    by: ResourceAddr,
    spot: bool,
    more_per_month: Money,
    changes: Vec<Change>,
    without: Vec<ResourceAddr>,
    artifacts: Vec<Artifact>,
});

mirror!(YearFile for Year { days: u32, periods: Vec<Period>, expected: Option<Money>, budgets: Vec<YearBudget> });

mirror!(YearBudgetFile for YearBudget { limit: Money, figure: Option<Money> });

mirror!(PeriodFile for Period {
    from: String,
    to: String,
    days: u32,
    peaks: BTreeMap<String, SpanPeak>,
    outlook: Outlook,
});

mirror!(SpanPeakFile for SpanPeak { season: Option<String>, times: u32, lead: u32 });

mirror!(OutlookFile for Outlook {
    cost: Option<PeriodCost>,
    refused: Vec<String>,
    would_do: Vec<String>,
    proven: bool,
    ended: Option<Stop>,
    warnings: Vec<String>,
});

mirror!(PeriodCostFile for PeriodCost {
    expected: Money,
    peak: Money,
    ceiling: Money,
    machines: u32,
    budgets: Vec<Money>,
});

mirror!(PriorFile for Prior { lineage: String, serial: u64, digest: String, simulated: bool });

mirror!(LeftoverFile for Leftover { addr: ResourceAddr, id: String, why: String });

mirror!(BudgetFile for BudgetLine {
    workload: Option<String>,
    label: Option<(String, String)>,
    limit: Money,
    binds: String,
    figure: Money,
});

mirror!(ChangeFile for Change {
    addr: ResourceAddr,
    action: Action,
    reasons: Vec<String>,
    before: Option<Resource>,
    after: Option<Resource>,
    fields: Vec<FieldChange>,
    depends_on: Vec<ResourceAddr>,
});

mirror!(FieldFile for FieldChange {
    name: String,
    before: Option<Attr>,
    after: Option<Attr>,
    forces_replacement: bool,
});

mirror!(StepFile for Step { addr: ResourceAddr, action: Action });

mirror!(ArtifactFile for Artifact { addr: ResourceAddr, name: String, content: String, sha256: String });
