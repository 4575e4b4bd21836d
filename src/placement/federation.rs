//! How a federation runs.

use crate::spec::FederationFramework;

/// How a federation runs.
#[derive(Clone, Debug, PartialEq)]
pub struct FederationRun {
    /// What starts and connects the members.
    pub framework: FederationFramework,
    /// Rounds of a run.
    pub rounds: u32,
    /// Seconds of a round: of the slowest client.
    pub round_s: f64,
    /// The most seconds that a round may take: `round_deadline`, or what the deadline of the run leaves for one if that is less.
    pub round_limit_s: f64,
    /// Seconds from an order for machines to the first round (assumed).
    pub start_up_s: f64,
    /// Seconds that the aggregator takes for the update of a client.
    pub aggregate_s: f64,
    /// How many must answer for a round to count.
    pub min_sites: u32,
    /// Those that take part, ordered by site.
    pub clients: Vec<FederationClient>,
    /// Those that do not, ordered by site, each with the reason.
    pub left_out: Vec<LeftOut>,
    /// GiB that the aggregator sends in a run.
    pub sent_gib: f64,
}

impl FederationRun {
    /// How many of the clients may be lost in a round that counts all the same.
    pub fn may_lose(&self) -> u32 {
        (self.clients.len() as u32).saturating_sub(self.min_sites)
    }
}

/// A site that takes part.
#[derive(Clone, Debug, PartialEq)]
pub struct FederationClient {
    /// The site.
    pub site: String,
    /// Seconds that an update takes in one direction.
    pub transfer_s: f64,
    /// Seconds of training.
    pub local_s: f64,
    /// Seconds of a round, the aggregator's part included.
    pub round_s: f64,
}

/// Sites that are named one by one.
const MOST_NAMED: usize = 3;

/// Names in a sentence: `a, b, c`, and of more than three `a and 99 others`.
pub fn names<S: AsRef<str>>(all: &[S]) -> String {
    match all {
        [first, others @ ..] if all.len() > MOST_NAMED => {
            format!("{} and {} others", first.as_ref(), others.len())
        }
        few => few.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

/// A site that takes no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The site.
    pub site: String,
    /// Why, in words.
    pub reason: String,
}

impl LeftOut {
    /// Sites that take no part, by the reason that they have in common: `h-1, h-2`, or `h-1 and 99 others`, how many they are, and why.
    pub fn by_reason(all: &[Self]) -> Vec<(String, usize, &str)> {
        let mut found: Vec<(Vec<&str>, &str)> = Vec::new();
        for left in all {
            match found.iter_mut().find(|(_, reason)| *reason == left.reason) {
                Some((sites, _)) => sites.push(&left.site),
                None => found.push((vec![&left.site], &left.reason)),
            }
        }
        found.into_iter().map(|(sites, reason)| (names(&sites), sites.len(), reason)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_told_by_what_keeps_them_out() {
        let left = |site: &str, reason: &str| LeftOut { site: site.into(), reason: reason.into() };
        let mut all = vec![left("a", "slow"), left("b", "idle"), left("c", "slow")];
        assert_eq!(LeftOut::by_reason(&all), [("a, c".into(), 2, "slow"), ("b".into(), 1, "idle")]);
        all.extend([left("d", "slow"), left("e", "slow")]);
        assert_eq!(LeftOut::by_reason(&all)[0], ("a and 3 others".into(), 4, "slow"));
    }
}
