//! The checker on whole plans: changes, order, files, bill and budget, each with a planted fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb::check;
use rhumb::placement::Placement;
use rhumb::plan::{
    Action, Asked, BudgetLine, Change, FieldChange, Left, LeftWhy, Leftover, Pattern, Plan, Prior, Step,
};
use rhumb::render::Artifact;
use rhumb::spec::{BudgetScope, Purchase};
use rhumb::state::{Spare, Spared, State, StateResource};
use rhumb_api::{Attr, Attributes, Money, Resource, ResourceAddr, ResourceKind};

use crate::check::base;

fn resource(kind: ResourceKind, attributes: &[(&str, Attr)]) -> Resource {
    Resource {
        kind,
        cloud: rhumb_api::Cloud::Aws,
        region: "eu-west-1".into(),
        attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
    }
}

fn addr(text: &str) -> ResourceAddr {
    ResourceAddr::parse(text).unwrap()
}

fn change(at: &str, before: Option<Resource>, after: Option<Resource>, needs: &[&str]) -> Change {
    let action = match (&before, &after) {
        (None, _) => Action::Create,
        (_, None) => Action::Remove,
        (Some(b), Some(a)) if b == a => Action::Keep,
        _ => Action::Update,
    };
    let empty = Attributes::default();
    let b = before.as_ref().map_or(&empty, |r| &r.attributes);
    let a = after.as_ref().map_or(&empty, |r| &r.attributes);
    let fields = if action == Action::Update {
        a.keys()
            .filter(|k| a.get(k) != b.get(k))
            .map(|k| FieldChange {
                name: k.to_owned(),
                before: b.get(k).cloned(),
                after: a.get(k).cloned(),
                forces_replacement: false,
            })
            .collect()
    } else {
        Vec::new()
    };
    Change {
        addr: addr(at),
        action,
        reasons: vec!["because".into()],
        before,
        after,
        fields,
        depends_on: needs.iter().map(|n| addr(n)).collect(),
    }
}

const NETWORK: &str = "services.chat/aws/eu-west-1/network";
const TEMPLATE: &str = "services.chat/aws/eu-west-1/p4d.24xlarge/launch-template";
const OLD: &str = "services.old/aws/eu-west-1/network";

/// A plan over a state: a network is kept, an old one removed, a fleet grows, the rest is made.
fn sample() -> (State, Plan) {
    let (spec, _, placement) = base();
    let network = resource(ResourceKind::Network, &[("cidr", "10.0.0.0/16".into())]);
    let mut changes = vec![
        change(NETWORK, Some(network.clone()), Some(network.clone()), &[]),
        change(OLD, Some(network.clone()), None, &[]),
        change(TEMPLATE, None, Some(resource(ResourceKind::LaunchTemplate, &[])), &[NETWORK]),
    ];
    let mut resources = BTreeMap::new();
    for pool in placement.workloads.values().flat_map(|w| &w.pools) {
        for m in &pool.machines {
            let kind = if pool.addr.workload().starts_with("batches") {
                ResourceKind::JobRun
            } else {
                ResourceKind::Fleet
            };
            let at = format!("{}/{}", pool.addr, m.purchase);
            let grown = kind == ResourceKind::Fleet && m.purchase == Purchase::Spot;
            let before = grown.then(|| resource(kind, &[("count", 1.into())]));
            let after = resource(kind, &[("count", i64::from(m.count).into())]);
            changes.push(change(&at, before, Some(after), &[TEMPLATE, NETWORK]));
        }
    }
    changes.sort_by(|a, b| a.addr.cmp(&b.addr));
    for c in &changes {
        if let Some(before) = &c.before {
            let made = StateResource::of(before.clone(), Vec::new());
            resources.insert(c.addr.clone(), Arc::new(made));
        }
    }
    let mut steps: Vec<Step> = changes
        .iter()
        .filter(|c| c.action != Action::Keep)
        .map(|c| Step { addr: c.addr.clone(), action: c.action })
        .collect();
    steps.sort_by_key(|s| s.addr.as_str() != TEMPLATE);
    let content = "exec vllm serve\n".to_owned();
    let figure = placement.workloads.values().map(|w| w.cost.ceiling_per_month).sum();
    let plan = Plan {
        name: spec.name.clone(),
        created: "2026-11-25T00:00:00Z".into(),
        tool_version: "0.1.0".into(),
        spec_digest: "a".repeat(64),
        catalog_digest: "b".repeat(64),
        valid_until: None,
        destroy: false,
        rollback: None,
        rollouts: Vec::new(),
        dips: Vec::new(),
        surge: None,
        asked: Asked::default(),
        left: Vec::new(),
        prior: Some(Prior { lineage: "l".into(), serial: 3, digest: "c".repeat(64), simulated: false }),
        confidence: spec.confidence,
        user_files: Vec::new(),
        changes,
        steps,
        leftovers: Vec::new(),
        placement: placement.clone(),
        artifacts: vec![Artifact {
            addr: addr(TEMPLATE),
            name: "start.sh".into(),
            sha256: "c3fcb21033a5c167880cface0740cdbd8c15a4dad12cbb240a8c10d0583d8406".into(),
            content,
        }],
        year: None,
        standbys: Vec::new(),
        budgets: vec![
            BudgetLine {
                workload: None,
                label: None,
                limit: spec.budget.limits[&BudgetScope::All].limit,
                binds: "ceiling".into(),
                figure,
            },
            BudgetLine {
                workload: Some("services.chat".into()),
                label: None,
                limit: spec.budget.limits[&BudgetScope::Workload("services.chat".into())].limit,
                binds: "ceiling".into(),
                figure: placement.workloads["services.chat"].cost.ceiling_per_month,
            },
        ],
        warnings: Vec::new(),
    };
    (State { serial: 3, resources, ..State::new("l".into(), false) }, plan)
}

fn found(state: Option<&State>, plan: &Plan) -> Vec<check::Finding> {
    let (spec, world, _) = base();
    check::plan(spec, world, state, plan).findings
}

fn at<'a>(plan: &'a mut Plan, what: &str) -> &'a mut Change {
    plan.changes.iter_mut().find(|c| c.addr.as_str().ends_with(what)).unwrap()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

/// Leaves a change out as a plan does of which a part was asked for.
fn leave_out(plan: &mut Plan, what: &str) {
    let place = plan.changes.iter().position(|c| c.addr.as_str() == what).unwrap();
    let change = plan.changes.remove(place);
    if change.before.is_some() {
        let kept = Change {
            after: change.before.clone(),
            action: Action::Keep,
            reasons: Vec::new(),
            fields: Vec::new(),
            ..change.clone()
        };
        plan.changes.insert(place, kept);
    }
    plan.steps.retain(|step| step.addr != change.addr);
    plan.artifacts.retain(|artifact| artifact.addr != change.addr);
    plan.left.push(Left { change, why: LeftWhy::Asked });
}

type Fault = (&'static str, &'static str, fn(&mut State, &mut Plan));

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    ("another deployment's plan", "the name", |_, p| p.name = "other".into()),
    ("another confidence", "the confidence", |_, p| p.confidence = 0.5),
    ("digest cut", "digest of the spec", |_, p| p.spec_digest.truncate(10)),
    ("a file nobody named", "user's files", |_, p| p.user_files.push("own.yaml".into())),
    ("another serial", "the serial", |s, _| s.serial += 1),
    ("another lineage", "the lineage", |s, _| s.lineage = "m".into()),
    ("prior forgotten", "whether something existed", |_, p| p.prior = None),
    ("of a simulated cloud", "whether the cloud is simulated", |s, _| s.simulated = true),
    ("something left over that nobody has", "what is left over", |_, p| p.leftovers.push(Leftover { addr: addr("a/b"), id: "i-1".into(), why: "failed".into() })),
    ("something left over and not told", "what is left over", |s, _| { let mut thing = s.resources[&addr(OLD)].clone(); Arc::make_mut(&mut thing).id = Some("i-1".into()); s.spares.push(Spare { address: addr(OLD), thing, why: Spared::Replaced }); }),
    ("a failed change forgotten", "does not follow", |s, p| { let kept = p.changes.iter().find(|c| c.action == Action::Keep).unwrap(); Arc::make_mut(s.resources.get_mut(&kept.addr).unwrap()).doubtful = Some("quota: full".into()); }),
    ("left on what was replaced", "does not follow", |s, p| { let kept = p.changes.iter().find(|c| c.action == Action::Keep).unwrap(); Arc::make_mut(s.resources.get_mut(&kept.addr).unwrap()).stands_on.insert(addr(OLD), "old".into()); }),
    ("exists and is forgotten", "does not mention", |s, _| { let r = s.resources[&addr(OLD)].clone(); s.resources.insert(addr("services.x/y"), r); }),
    ("existed otherwise", "existed otherwise", |s, _| { Arc::make_mut(s.resources.get_mut(&addr(NETWORK)).unwrap()).resource.region = "x".into(); }),
    ("kept instead of made", "does not follow", |_, p| at(p, "launch-template").action = Action::Keep),
    ("no reason", "without a reason", |_, p| at(p, "launch-template").reasons.clear()),
    ("difference not named", "are not named", |_, p| at(p, "services.chat/aws/eu-west-1/p4d.24xlarge/spot").fields.clear()),
    ("replacement not made", "forces a replacement", |_, p| at(p, "services.chat/aws/eu-west-1/p4d.24xlarge/spot").fields[0].forces_replacement = true),
    ("equal and named", "does not differ", |_, p| { let f = &mut at(p, "services.chat/aws/eu-west-1/p4d.24xlarge/spot").fields[0]; f.before = f.after.clone(); }),
    ("out of order", "order of their addresses", |_, p| p.changes.reverse()),
    ("a step too few", "without a step", |_, p| { p.steps.pop(); }),
    ("a step twice", "two steps", |_, p| { let s = p.steps[0].clone(); p.steps.push(s); }),
    ("a step for nothing", "no change asks for", |_, p| p.steps.push(Step { addr: addr("a/b"), action: Action::Create })),
    ("made before what it needs", "order does not respect", |_, p| p.steps.reverse()),
    ("needs nothing that is there", "nowhere", |_, p| at(p, "launch-template").depends_on.push(addr("a/b"))),
    ("a fleet of another size", "another size", |_, p| { let c = at(p, "on_demand"); c.after.as_mut().unwrap().attributes.insert("count", 99.into()); }),
    ("a fleet that nobody placed", "nobody placed", |_, p| { let mut c = at(p, "on_demand").clone(); c.addr = addr("zz/fleet"); p.changes.push(c); }),
    ("machines that are not made", "not made", |_, p| p.changes.retain(|c| !c.addr.as_str().ends_with("on_demand"))),
    ("made and not billed", "no line of the bill", |_, p| { for w in p.placement.workloads.values_mut() { w.cost.lines.clear(); } }),
    ("a file changed after hashing", "hash of the file", |_, p| p.artifacts[0].content.push('#')),
    ("a file for nothing", "file for nothing", |_, p| p.artifacts[0].addr = addr("a/b")),
    ("budget altered", "the budgets", |_, p| p.budgets[0].limit = Money::ZERO),
    ("budget figure altered", "figure that the budget of all workloads limits", |_, p| p.budgets[0].figure = Money::ZERO),
    ("budget of a label that nobody has", "the budgets", |_, p| p.budgets[0].label = Some(("team".into(), "search".into()))),
    ("budget left out", "the budgets", |_, p| p.budgets.clear()),
    ("another binding", "budget binds", |_, p| p.budgets[0].binds = "expected".into()),
    ("left out and nobody asked", "nobody asked for it", |_, p| leave_out(p, TEMPLATE)),
    ("left out although asked for", "although it was asked for", |_, p| { leave_out(p, OLD); p.asked.targets = patterns(&["services.old"]); }),
    ("left out for no reason", "for no reason", |_, p| { leave_out(p, OLD); p.asked.excludes = patterns(&["services.chat/*/*/x"]); }),
    ("done although excluded", "although it was excluded", |_, p| p.asked.excludes = patterns(&["*.old"])),
    ("done and not asked for", "done and nobody asked", |_, p| p.asked.targets = patterns(&["services.chat"])),
    ("what it requires is left out", "what it requires is left out", |_, p| { leave_out(p, TEMPLATE); p.asked.targets = patterns(&["*"]); }),
    ("removed and said to be left out", "does not stay as it is", |_, p| { p.asked.excludes = patterns(&["services.old"]); let gone = p.changes.iter().find(|c| c.addr.as_str() == OLD).unwrap().clone(); p.left.push(Left { change: gone, why: LeftWhy::Asked }); }),
    ("left out otherwise", "existed otherwise", |_, p| { leave_out(p, OLD); p.asked.excludes = patterns(&["services.old"]); p.left[0].change.before.as_mut().unwrap().region = "x".into(); }),
    ("left out as a run that has ended", "its run has not ended", |_, p| { leave_out(p, OLD); p.left[0].why = LeftWhy::Ended; }),
    ("made anew and nobody asked", "does not follow", |_, p| { at(p, NETWORK).action = Action::Replace; }),
    ("placement altered", "price", |_, p: &mut Plan| { let Placement { workloads, .. } = &mut p.placement; workloads.values_mut().next().unwrap().pools[0].machines[0].price = Money::ZERO; }),
];

#[test]
fn a_plan_by_the_rules_is_clean() {
    let (state, plan) = sample();
    let findings = found(Some(&state), &plan);
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn parts_of_a_plan_are_clean_as_asked() {
    let (state, whole) = sample();
    let asked = |targets: &[&str], excludes: &[&str]| {
        let asked = Asked { targets: patterns(targets), excludes: patterns(excludes), replace: Vec::new() };
        whole.clone().asked(asked, Some(&state)).unwrap()
    };
    let steps = |plan: &Plan| -> Vec<String> { plan.steps.iter().map(|s| s.addr.to_string()).collect() };
    let removal = asked(&["services.old"], &[]);
    assert_eq!(steps(&removal), [OLD]);
    let rest = asked(&[], &["services.old"]);
    assert_eq!(rest.steps.len() + 1, whole.steps.len());
    assert_eq!(rest.left.iter().map(|l| l.change.addr.as_str()).collect::<Vec<_>>(), [OLD]);
    // All machines start from the template.
    let machines = asked(&[], &["services.chat/aws/eu-west-1/*/launch-template"]);
    assert_eq!(steps(&machines), [OLD]);
    let fleet = asked(&["services.chat/*/*/*/spot"], &[]);
    assert_eq!(steps(&fleet), [TEMPLATE, "services.chat/aws/eu-west-1/p4d.24xlarge/spot"]);
    for plan in [removal, rest, machines, fleet] {
        let findings = found(Some(&state), &plan);
        assert!(findings.is_empty(), "{:?}: {findings:#?}", plan.asked);
    }
}

#[test]
fn every_planted_fault_of_a_plan_is_found() {
    let mut missed = String::new();
    for (name, message, plant) in FAULTS {
        let (mut state, mut plan) = sample();
        plant(&mut state, &mut plan);
        let findings = found(Some(&state), &plan);
        if !findings.iter().any(|f| f.message.contains(message)) {
            missed += &format!("{name}: {findings:#?}\n");
        }
    }
    assert!(missed.is_empty(), "{missed}");
    let (_, plan) = sample();
    assert!(!found(None, &plan).is_empty(), "a plan over a state is not a plan over nothing");
}

/// A plan by which everything goes is checked against the state alone.
#[test]
fn each_planted_fault_of_a_destruction_is_found() {
    let (state, other) = sample();
    let plan = rhumb::plan::destroy("demo", "2026-11-25T00:00:00Z", &state, Vec::new());
    let findings = found(Some(&state), &plan);
    assert!(findings.is_empty(), "{findings:#?}");
    #[rustfmt::skip]
    let faults: &[(&str, fn(&mut Plan, &Plan))] = &[
        ("does not mention", |p, _| { p.changes.pop(); }),
        ("a change without a step", |p, _| { p.steps.pop(); }),
        ("what happens to it", |p, _| { let c = &mut p.changes[0]; c.after = c.before.clone(); c.action = Action::Keep; c.fields.clear(); }),
        ("without a reason", |p, _| p.changes[0].reasons.clear()),
        ("something is placed", |p, o| p.placement = o.placement.clone()),
        ("something is rendered", |p, o| p.artifacts = o.artifacts.clone()),
        ("something is budgeted", |p, o| p.budgets = o.budgets.clone()),
        ("the serial", |p, _| if let Some(prior) = &mut p.prior { prior.serial += 1; }),
    ];
    for (words, plant) in faults {
        let mut wrong = plan.clone();
        plant(&mut wrong, &other);
        assert_ne!(wrong, plan, "{words}: the fault is planted");
        let findings = found(Some(&state), &wrong);
        assert!(findings.iter().any(|f| f.message.contains(words)), "{words}: {findings:#?}");
    }
}
