//! Faults that are planted in a placement, and whether the checker finds each.

use rhumb::catalog::Offering;
use rhumb::check::{self, Finding};
use rhumb::placement::{Placement, World};
use rhumb::spec::Spec;

use crate::line;

/// A placement with what it was made from.
pub type Case = (Spec, World, Placement);

/// Name, code, a part of the message, and the fault.
pub type Fault = (&'static str, &'static str, &'static str, fn(&mut Spec, &mut World, &mut Placement));

/// Findings, a line each.
pub fn told(findings: &[Finding]) -> String {
    let one = |f: &Finding| {
        format!("    {} {}: {} (expected {}, found {})\n", f.code, f.address, f.message, f.expected, f.found)
    };
    findings.iter().map(one).collect()
}

/// The faults that the checker does not find, with what it says instead.
fn missed(base: &Case, faults: &[Fault]) -> Vec<String> {
    let mut missed = Vec::new();
    for (name, code, part, plant) in faults {
        let (mut spec, mut world, mut placement) = base.clone();
        plant(&mut spec, &mut world, &mut placement);
        let findings = check::placement(&spec, &world, &placement);
        if !findings.iter().any(|f| f.code == *code && f.message.contains(part)) {
            missed.push(format!("{name}: no `{code}` with `{part}` among:\n{}", told(&findings)));
        }
    }
    missed
}

/// That each is found, and that no fault at all would not be.
pub fn all_are_found(base: &Case, faults: &[Fault]) {
    let none: Vec<Fault> =
        faults.iter().map(|(name, code, part, _)| (*name, *code, *part, nothing as _)).collect();
    assert_eq!(missed(base, &none).len(), faults.len(), "what is expected is found without a fault");
    let missed = missed(base, faults);
    assert!(missed.is_empty(), "\n{}", missed.concat());
}

fn nothing(_: &mut Spec, _: &mut World, _: &mut Placement) {}

/// The same on a placement that the checker passes.
pub fn all_are_found_on_sound(base: &Case, faults: &[Fault]) {
    let (spec, world, placement) = base;
    let findings = check::placement(spec, world, placement);
    assert!(findings.is_empty(), "\n{}", told(&findings));
    all_are_found(base, faults);
}

/// That the checker sees what is not the optimum: the placement of a world without the offers that are not `left`, in the whole one, and
/// that of the whole one where they are gone.
pub fn dearer_is_told((spec, world, placement): &Case, left: impl Fn(&Offering) -> bool) {
    let mut poorer = world.clone();
    poorer.catalog.offerings.retain(|o| left(o));
    let dearer = line::place(spec, &poorer).unwrap();
    for proof in [check::prove(spec, world, &dearer), check::prove(spec, &poorer, placement)] {
        let findings = proof.report.findings;
        assert!(findings.iter().any(|f| f.code == "optimum"), "{}", told(&findings));
    }
}

/// Name, what is planted in spec and placement, and code, address and a part of the message of what must be found.
pub type Planted = (&'static str, fn(&mut Spec, &mut Placement), &'static str, &'static str, &'static str);

/// That each is found where it is planted.
pub fn all_are_found_at((spec, world, placement): &Case, faults: &[Planted]) {
    let mut missed = String::new();
    for (name, plant, code, address, part) in faults {
        let (mut spec, mut placement) = (spec.clone(), placement.clone());
        plant(&mut spec, &mut placement);
        let findings = check::placement(&spec, world, &placement);
        let found = |f: &Finding| f.code == *code && f.address == *address && f.message.contains(part);
        if !findings.iter().any(found) {
            missed += &format!("{name}: no {code} of {address} `{part}` among:\n{}\n", told(&findings));
        }
    }
    assert!(missed.is_empty(), "\n{missed}");
}
