//! Words of a placement that the program knows by name.

/// Names of constraints, of failures and of quota units. The optimizer uses no other; a plan file that does
/// was made by another version.
pub const WORDS: &[&str] = &[
    // Constraints.
    "accelerator",
    "accelerators",
    "bandwidth",
    "budget",
    "capacity",
    "carbon",
    "clouds",
    "context",
    "deadline",
    "dearer",
    "e2e",
    "engine",
    "engine-setting",
    "freshness",
    "infeasible",
    "instance-types",
    "launcher",
    "layout",
    "max_replicas",
    "max_surge",
    "measured-time",
    "memory",
    "min-sites",
    "min_replicas",
    "offered",
    "origins",
    "precision",
    "price",
    "purchase",
    "quality",
    "quota",
    "region",
    "regions",
    "residency",
    "retired",
    "round-deadline",
    "saturated",
    "shared",
    "sites",
    "spot",
    "spread",
    "stability",
    "replay",
    "survive",
    "tpot",
    "ttft",
    "unknown",
    "wan",
    "zones",
    // Failures.
    "machine",
    "replica",
    "zone",
    // Units.
    "chips",
    "gpus",
    "machines",
    "usd_per_hour",
    "vcpus",
    "watts",
];

#[cfg(test)]
mod tests {
    use super::WORDS;

    #[test]
    fn each_word_stands_once() {
        let set: std::collections::BTreeSet<&&str> = WORDS.iter().collect();
        assert_eq!(set.len(), WORDS.len());
    }
}
