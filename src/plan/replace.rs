//! Which attributes cannot be changed on a thing that exists.

use rhumb_api::ResourceKind;

/// Attributes that force a replacement of any kind: nothing moves to another account.
const OF_EVERY_KIND: &[&str] = &["account"];

/// Attributes that force a replacement, per kind; every part of a named one forces it too.
///
/// The three clouds agree on these. An address range belongs to a network for its life, and what stands
/// in a network cannot be moved to another one. A load balancer is inside or outside from the start.
/// Machines keep their type and their way of payment: a group would mix old and new ones. A run is one
/// order: neither the template that it was ordered with nor what it works on changes under way. In place change: rules of a
/// firewall, versions of a launch template, number and zones of machines, subnets of a network.
const FORCING: &[(ResourceKind, &[&str])] = &[
    (ResourceKind::Network, &["address_range"]),
    (ResourceKind::Firewall, &["network"]),
    (ResourceKind::LaunchTemplate, &["instance_type"]),
    (ResourceKind::LoadBalancer, &["network", "exposure"]),
    (ResourceKind::Fleet, &["network", "instance_type", "purchase"]),
    (
        ResourceKind::JobRun,
        &[
            "network",
            "instance_type",
            "purchase",
            "launch_template",
            "launch_template_sha256",
            "input_sha256",
        ],
    ),
    (ResourceKind::EdgeUnit, &["site", "instance_type"]),
];

/// Whether a change of this attribute (`.` between levels) alone forces a replacement.
///
/// Kind, cloud and region of a resource always do; they are no attributes.
pub fn forces_replacement(kind: ResourceKind, name: &str) -> bool {
    let top = name.split('.').next().unwrap_or(name);
    OF_EVERY_KIND.contains(&top) || FORCING.iter().any(|(of, names)| *of == kind && names.contains(&top))
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
        assert!(forces_replacement(ResourceKind::Network, "address_range.v4"));
        assert!(!forces_replacement(ResourceKind::Fleet, "count"));
        assert!(!forces_replacement(ResourceKind::Firewall, "instance_type"));
        assert!(!forces_replacement(ResourceKind::Network, "address_range_notes"));
    }
}
