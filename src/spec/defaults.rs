//! `defaults`: keys of every workload that does not state them itself.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::keys::{Key, Kind, ROOT, section};
use crate::diagnostic::{Pointer, SourceMap};

/// Ways to say how much arrives, of which a workload states one.
const LOADS: [&str; 3] = ["peak", "concurrency", "trace"];

/// Ways to say where replicas may be at all.
const PLACES: [&str; 3] = [SITES, EACH_OF, "clouds"];

/// `placement.sites`.
const SITES: &str = "sites";

/// What may fail is said of services; a stream says it itself.
const FAILURES: [&str; 2] = ["survive", "during_failure"];

/// `placement.each_of`.
const EACH_OF: &str = "each_of";

/// Copies the defaults into the workloads, sections key by key and any other value whole; returns the
/// places that were copied to.
pub fn merge(tree: &mut Value, map: &mut SourceMap) -> BTreeSet<Pointer> {
    let mut copied = BTreeSet::new();
    let Some(Value::Object(defaults)) = tree.get("defaults").cloned() else { return copied };
    let from = Pointer::root().join("defaults");
    for kind in super::WORKLOADS {
        let Some(keys) = workload_keys(kind) else { continue };
        let Some(Value::Object(workloads)) = tree.get_mut(kind) else { continue };
        for (name, workload) in workloads {
            let Value::Object(own) = workload else { continue };
            let to = Pointer::root().join(kind).join(name);
            merge_section(keys, &defaults, own, &from, &to, map, &mut copied);
        }
    }
    copied
}

fn workload_keys(kind: &str) -> Option<&'static [Key]> {
    match &ROOT.iter().find(|k| k.name == kind)?.kind {
        Kind::Map { of, .. } => section(of),
        _ => None,
    }
}

fn merge_section(
    keys: &'static [Key],
    defaults: &Map<String, Value>,
    own: &mut Map<String, Value>,
    from: &Pointer,
    to: &Pointer,
    map: &mut SourceMap,
    copied: &mut BTreeSet<Pointer>,
) {
    // Sites and clouds are one decision: who states one of them takes neither from here.
    let states_a_place = PLACES.iter().any(|k| own.contains_key(*k));
    let states_a_load = LOADS.iter().any(|k| own.contains_key(*k));
    for (name, value) in defaults {
        let Some(key) = keys.iter().find(|k| k.name == name && !k.not_yet) else { continue };
        let (from, to) = (from.join(name), to.join(name));
        if FAILURES.contains(&name.as_str()) && !to.0.starts_with("/services/") {
            continue;
        }
        match own.get_mut(name) {
            None if states_a_load && LOADS.contains(&name.as_str()) => {}
            None if states_a_place && PLACES.contains(&name.as_str()) => {}
            // Only services go to sites.
            None if [SITES, EACH_OF].contains(&name.as_str()) && !to.0.starts_with("/services/") => {}
            None => {
                own.insert(name.clone(), value.clone());
                copy_places(map, &from, &to);
                copied.insert(to);
            }
            Some(Value::Object(own)) => {
                let Value::Object(value) = value else { continue };
                if let Some(keys) = section(&key.kind) {
                    merge_section(keys, value, own, &from, &to, map, copied);
                } else if name == "labels" {
                    for (label, text) in value {
                        if !own.contains_key(label) {
                            own.insert(label.clone(), text.clone());
                            copy_places(map, &from.join(label), &to.join(label));
                            copied.insert(to.join(label));
                        }
                    }
                }
            }
            Some(_) => {}
        }
    }
}

pub(super) fn copy_places(map: &mut SourceMap, from: &Pointer, to: &Pointer) {
    let below: Vec<_> = map
        .nodes
        .range(from.clone()..)
        .take_while(|(p, _)| p.0.starts_with(&from.0))
        .filter(|(p, _)| p.0.len() == from.0.len() || p.0[from.0.len()..].starts_with('/'))
        .map(|(p, span)| (Pointer(format!("{}{}", to.0, &p.0[from.0.len()..])), span.clone()))
        .collect();
    map.nodes.extend(below);
}
