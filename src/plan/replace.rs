//! Which attributes cannot be changed on a thing that exists.

use rhumb_api::ResourceKind;

/// Attributes that force a replacement, per kind; every part of a named one forces it too.
///
/// The three clouds agree on these. An address range belongs to a network for its life, and what stands
/// in a network cannot be moved to another one. Machines keep their type and their way of payment: a
/// group would mix old and new ones. A launch template has versions and a firewall has rules, so both
/// change in place. A run is one order: what it was ordered with does not change under way.
const FORCING: &[(ResourceKind, &[&str])] = &[
    (ResourceKind::Network, &["cidr", "address_range"]),
    (ResourceKind::Firewall, &["network"]),
    (ResourceKind::LaunchTemplate, &["instance_type", "machine_type", "purchase"]),
    (ResourceKind::LoadBalancer, &["network", "exposure", "scheme"]),
    (ResourceKind::Fleet, &["network", "instance_type", "machine_type", "purchase"]),
    (ResourceKind::JobRun, &["network", "instance_type", "machine_type", "purchase", "launch_template"]),
    (ResourceKind::EdgeUnit, &["site", "machine", "accelerator"]),
];

/// Whether a change of this attribute (`.` between levels) alone forces a replacement.
///
/// Kind, cloud and region of a resource always do; they are no attributes.
pub fn forces_replacement(kind: ResourceKind, name: &str) -> bool {
    let top = name.split('.').next().unwrap_or(name);
    FORCING.iter().any(|(of, names)| *of == kind && names.contains(&top))
}

/// Whether what needs a thing of kind `needed` must be replaced together with it.
///
/// Only a network holds its contents fast; everything else is pointed to the new one.
pub fn follows(needed: ResourceKind, kind: ResourceKind) -> bool {
    needed == ResourceKind::Network && !matches!(kind, ResourceKind::Network | ResourceKind::LaunchTemplate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_row_and_parts_follow_the_whole() {
        for kind in ResourceKind::ALL {
            assert_eq!(FORCING.iter().filter(|(of, _)| *of == kind).count(), 1, "{kind}");
        }
        assert!(forces_replacement(ResourceKind::Fleet, "instance_type"));
        assert!(forces_replacement(ResourceKind::Network, "cidr.v4"));
        assert!(!forces_replacement(ResourceKind::Fleet, "count"));
        assert!(!forces_replacement(ResourceKind::Firewall, "instance_type"));
        assert!(!forces_replacement(ResourceKind::Network, "cidr_notes"));
    }
}
