//! What a broken adapter makes of a preflight.

use std::collections::BTreeMap;

use rhumb_api::preflight::{About, Answer, Change, Finding, Preflight, Verdict, Wanted};
use rhumb_api::{Order, Provider as _, Tags};

use super::broken::{Broken, Fault};

impl Broken {
    pub(super) async fn look_ahead(&self, asked: &Preflight) -> Answer {
        match self.fault {
            Fault::PreflightMakesIt => self.make_all(asked),
            Fault::PreflightCountsEachAlone => return self.each_alone(asked).await,
            _ => {}
        }
        let answer = self.sim.preflight(&self.misunderstood(asked)).await;
        if self.fault == Fault::UnansweredPreflightPasses && answer.is_err() {
            return Ok(Vec::new());
        }
        let mut found = answer?;
        let mut say = |about: About, verdict: Verdict| {
            found.iter_mut().filter(|f| f.about == about).for_each(|f| f.verdict = verdict);
        };
        match self.fault {
            Fault::PreflightRefusesAll => say(About::Permission, Verdict::Failed),
            Fault::PreflightTakesCredentials => say(About::Credentials, Verdict::Ok),
            Fault::PreflightGrantsAll => say(About::Permission, Verdict::Ok),
            Fault::PreflightOffersAll => say(About::Offering, Verdict::Ok),
            Fault::PreflightKnowsNoSecrets => say(About::Secret, Verdict::Ok),
            Fault::PreflightPromisesMachines => say(About::Capacity, Verdict::Ok),
            Fault::PreflightFailsForMachines => say(About::Capacity, Verdict::Failed),
            Fault::PreflightSaysHalf => found.retain(|f| f.about != About::Offering),
            _ => {}
        }
        Ok(found)
    }

    /// What is asked, as it is sent.
    fn misunderstood(&self, asked: &Preflight) -> Preflight {
        let mut asked = asked.clone();
        if self.fault == Fault::PreflightKnowsNoOrder {
            asked.wanted.iter_mut().for_each(|wanted| wanted.first = false);
        }
        if self.fault == Fault::PreflightCountsTheReplacedAsGone {
            let gone: BTreeMap<_, _> = asked
                .wanted
                .iter()
                .filter(|wanted| wanted.change == Change::Delete)
                .map(|wanted| (wanted.address.clone(), wanted.id.clone()))
                .collect();
            asked.wanted.retain(|wanted| wanted.change != Change::Delete);
            for wanted in asked.wanted.iter_mut().filter(|wanted| gone.contains_key(&wanted.address)) {
                *wanted =
                    Wanted { change: Change::Update, id: gone[&wanted.address].clone(), ..wanted.clone() };
            }
        }
        asked
    }

    async fn each_alone(&self, asked: &Preflight) -> Answer {
        let mut all: Vec<Finding> = Vec::new();
        for wanted in &asked.wanted {
            let one = Preflight { wanted: vec![wanted.clone()], ..asked.clone() };
            all.extend(self.sim.preflight(&one).await?);
        }
        Ok(all)
    }

    fn make_all(&self, asked: &Preflight) {
        for wanted in asked.wanted.iter().filter(|wanted| wanted.change == Change::Create) {
            let (lineage, address) = (asked.lineage.clone().unwrap_or_default(), wanted.address.clone());
            let tags = Tags { lineage, address, token: self.fresh() };
            let (needs, files) = (BTreeMap::new(), BTreeMap::new());
            let order = Order { tags, resource: wanted.resource.clone(), needs, files, takes_over: None };
            drop(self.plant(&order, None));
        }
    }
}
