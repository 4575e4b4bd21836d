//! Equal sites and equal services at each of them: `sites.plants: { count: 12 }` is `plants-1` to `plants-12`, and a service with
//! `placement: { each_of: plants }` is one at each, `inspect-plants-1` and so on. `sites: [plants]` of a federation names them all.
//!
//! This is done on the tree, when defaults have been copied and before anything is read: what comes after knows sites and services alone.
//! Copies have the places of what they are copied from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::defaults::copy_places;
use super::leaf;
use super::units::Problem;
use crate::diagnostic::{Diagnostic, Pointer, SourceMap};

/// Most equal sites of one name.
pub const MOST: u64 = 200;

/// The place of an origin that is at its service's own site.
const OWN: &str = "site";

/// Expands a tree; returns what is wrong with it. Places that were copied from defaults, and now those of every copy but the first, are
/// in `copied`: what is wrong there is told once.
pub fn expand(tree: &mut Value, map: &mut SourceMap, copied: &mut BTreeSet<Pointer>) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let groups = sites(tree, map, copied, &mut problems);
    services(tree, map, copied, &groups, &mut problems);
    federations(tree, map, &groups);
    problems
}

fn report(problems: &mut Vec<Diagnostic>, map: &SourceMap, at: &Pointer, problem: Problem) {
    let diagnostic = Diagnostic::error(problem.code, problem.message).at(map, at);
    problems.push(diagnostic.label(problem.label).help(problem.help));
}

/// Replaces sites that have a count; each group with its members.
fn sites(
    tree: &mut Value,
    map: &mut SourceMap,
    copied: &mut BTreeSet<Pointer>,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::new();
    let Some(Value::Object(sites)) = tree.get_mut("sites") else { return groups };
    let root = Pointer::root().join("sites");
    let mut all = Map::new();
    for (name, site) in std::mem::take(sites) {
        let count = site.get("count").and_then(Value::as_u64).filter(|n| (1..=MOST).contains(n));
        let (Some(count), Value::Object(one)) = (count, &site) else {
            all.insert(name, site);
            continue;
        };
        let mut one = one.clone();
        one.shift_remove("count");
        let members: Vec<String> = (1..=count).map(|i| format!("{name}-{i}")).collect();
        put(&mut all, (&root, &name), &Value::Object(one), &members, map, copied, problems);
        groups.insert(name, members);
    }
    *sites = all;
    groups
}

fn services(
    tree: &mut Value,
    map: &mut SourceMap,
    copied: &mut BTreeSet<Pointer>,
    groups: &BTreeMap<String, Vec<String>>,
    problems: &mut Vec<Diagnostic>,
) {
    let Some(Value::Object(services)) = tree.get_mut("services") else { return };
    let root = Pointer::root().join("services");
    let mut all = Map::new();
    for (name, mut service) in std::mem::take(services) {
        let each_of = service.get("placement").and_then(|p| p.get("each_of")).cloned();
        let Some(group) = each_of else {
            all.insert(name, service);
            continue;
        };
        let placement = root.join(&name).join("placement");
        if service.pointer("/placement/sites").is_some() {
            let problem = Problem::new(
                "conflicting-keys",
                "`each_of` with `sites`: it names them all",
                "one of the two",
                "remove one of them",
            );
            report(problems, map, &placement.join("sites"), problem);
        }
        if let Some(placement) = service.get_mut("placement").and_then(Value::as_object_mut) {
            placement.shift_remove("each_of");
        }
        let Some(members) = group.as_str().and_then(|group| groups.get(group)) else {
            let written = group.as_str().unwrap_or_default();
            let problem = Problem::new(
                "unknown-reference",
                format!("there are no equal sites `{written}`"),
                "not among the sites with a `count`",
                leaf::suggest(written, groups.keys().map(String::as_str), "sites with a `count`"),
            );
            report(problems, map, &placement.join("each_of"), problem);
            continue;
        };
        let names: Vec<String> = members.iter().map(|site| format!("{name}-{site}")).collect();
        put(&mut all, (&root, &name), &service, &names, map, copied, problems);
        for (name, site) in names.iter().zip(members) {
            let Some(service) = all.get_mut(name) else { continue };
            if let Some(placement) = service.get_mut("placement").and_then(Value::as_object_mut) {
                placement.insert("sites".to_owned(), Value::Array(vec![Value::from(site.as_str())]));
            }
            let origins = service.pointer_mut("/traffic/origins").and_then(Value::as_object_mut);
            for at in origins.into_iter().flatten().filter_map(|(_, origin)| origin.get_mut("at")) {
                if at.as_str() == Some(OWN) {
                    *at = Value::from(format!("sites.{site}"));
                }
            }
        }
    }
    *services = all;
}

/// Replaces names of groups in the `sites` of federations by their members.
fn federations(tree: &mut Value, map: &mut SourceMap, groups: &BTreeMap<String, Vec<String>>) {
    let Some(Value::Object(federations)) = tree.get_mut("federations") else { return };
    for (name, federation) in federations {
        let Some(Value::Array(sites)) = federation.get_mut("sites") else { continue };
        let list = Pointer::root().join("federations").join(name).join("sites");
        let written: Vec<_> = (0..sites.len()).map(|i| map.nodes.get(&list.join(i)).cloned()).collect();
        let mut all = Vec::new();
        for (site, place) in std::mem::take(sites).into_iter().zip(written) {
            let members = site.as_str().and_then(|site| groups.get(site));
            let members = members.map(|m| m.iter().map(|m| Value::from(m.as_str())).collect());
            for member in members.unwrap_or_else(|| vec![site]) {
                if let Some(place) = &place {
                    map.nodes.insert(list.join(all.len()), place.clone());
                }
                all.push(member);
            }
        }
        *sites = all;
    }
}

/// Puts a value under several names, with its places.
fn put(
    all: &mut Map<String, Value>,
    (root, from): (&Pointer, &str),
    value: &Value,
    names: &[String],
    map: &mut SourceMap,
    copied: &mut BTreeSet<Pointer>,
    problems: &mut Vec<Diagnostic>,
) {
    let from = root.join(from);
    let inside = format!("{}/", from.0);
    let below: Vec<Pointer> = copied.iter().filter(|p| p.0.starts_with(&inside)).cloned().collect();
    for (i, name) in names.iter().enumerate() {
        let to = root.join(name);
        if all.contains_key(name) {
            let problem = Problem::new(
                "declared-twice",
                format!("`{}` is declared twice: once among equal ones", to.dotted()),
                "one of several",
                "rename one of the two",
            );
            report(problems, map, &from, problem);
            continue;
        }
        copy_places(map, &from, &to);
        copied.extend(below.iter().map(|p| Pointer(format!("{}{}", to.0, &p.0[from.0.len()..]))));
        if i > 0 {
            copied.insert(to);
        }
        all.insert(name.clone(), value.clone());
    }
}
