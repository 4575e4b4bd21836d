//! Depth first through everything that may happen.
//!
//! A machine cannot be copied, so that what came before is played again for each further choice; the first goes on without that. Where two
//! ways lead to the same [`Stage::mark`], what comes after is the same: a machine is a function of what it was told, the cloud one of the
//! calls that changed it and when, the log one of its entries. So it is looked at once, and its schedules count for every way that leads
//! there. Nothing else is left out: there is no reduction by independence. 128 bits tell marks apart.

use std::collections::BTreeMap;

use super::process::Kept;
use super::stage::{Choice, Mark, Stage, Story};

/// What was found on all ways.
#[derive(Debug, Default)]
pub struct Count {
    /// Ways from the beginning to an end.
    pub schedules: u128,
    /// Stages that differ.
    pub stages: usize,
    /// Ends that differ.
    pub ends: usize,
    /// Of these, how many had a call sent by an overtaken process.
    pub zombies: usize,
    /// Of these, in how many something was removed that no record knew.
    pub strays: usize,
    /// What went wrong, and the first way to it.
    pub wrong: BTreeMap<String, Vec<Choice>>,
    /// Whether nothing was left for lack of patience.
    pub whole: bool,
}

struct Explorer {
    story: Story,
    kept: Kept,
    known: BTreeMap<Mark, u128>,
    way: Vec<Choice>,
    most: usize,
    count: Count,
}

/// Explores a story, until so many stages were seen.
pub fn explore(story: &Story, most: usize) -> Count {
    let mut explorer = Explorer {
        story: *story,
        kept: Kept::default(),
        known: BTreeMap::new(),
        way: Vec::new(),
        most,
        count: Count { whole: true, ..Count::default() },
    };
    let stage = Stage::new(story, &mut explorer.kept);
    explorer.count.schedules = explorer.visit(stage);
    explorer.count.stages = explorer.known.len();
    explorer.count
}

impl Explorer {
    fn again(&mut self) -> Stage {
        let mut stage = Stage::new(&self.story, &mut self.kept);
        for choice in &self.way {
            stage.take(choice, &mut self.kept);
        }
        stage
    }

    /// How many schedules begin here.
    fn visit(&mut self, stage: Stage) -> u128 {
        let mark = stage.mark();
        if let Some(schedules) = self.known.get(&mark) {
            return *schedules;
        }
        if self.known.len() >= self.most {
            self.count.whole = false;
            return 0;
        }
        let choices = stage.choices();
        let schedules = if choices.is_empty() {
            self.end(stage);
            1
        } else {
            let mut here = Some(stage);
            let mut sum = 0;
            for choice in choices {
                let mut next = here.take().unwrap_or_else(|| self.again());
                next.take(&choice, &mut self.kept);
                self.way.push(choice);
                sum += self.visit(next);
                self.way.pop();
            }
            sum
        };
        self.known.insert(mark, schedules);
        schedules
    }

    fn end(&mut self, stage: Stage) {
        self.count.ends += 1;
        let found = stage.ending(&mut self.kept);
        self.count.zombies += usize::from(found.zombie);
        self.count.strays += usize::from(found.strays > 0);
        for what in found.wrong {
            let way = &self.way;
            self.count.wrong.entry(what).or_insert_with(|| way.clone());
        }
    }
}
