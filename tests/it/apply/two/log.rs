//! The log of a state in a bucket, as [`rhumb::state::remote`] describes it, in one thread and without a store.
//!
//! Every entry is put at the next number if nothing is there. To open is one step here: what happens before the fence is put is reading
//! alone, and a fence that finds its number taken reads on, so that all is as if it had begun when its fence came to be there. That the
//! real store says the same to the same operations is tested in [`super::store`].

use rhumb::state::{Record, State};

/// What an entry that was not put comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another writer has put the entry of that number.
    Overtaken,
    /// A record does not fit.
    Misfit(String),
}

/// What keeps writers apart; all but the first are planted faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Fenced,
    /// Whoever opens puts no fence.
    NoFence,
    /// Entries go behind the last one, whosoever that is.
    Anywhere,
}

#[derive(Debug)]
pub struct Log {
    rule: Rule,
    /// Who wrote each entry, and how many records it has: a fence has none.
    pub entries: Vec<(usize, usize)>,
    /// What all entries lead to.
    pub state: State,
    /// What does not fit together.
    pub damage: Option<String>,
}

/// Whoever has opened a log.
#[derive(Debug)]
pub struct Writer {
    name: usize,
    next: usize,
    /// It knows that it was overtaken.
    over: bool,
    pub state: State,
}

impl Log {
    pub fn new(state: State, rule: Rule) -> Self {
        Log { rule, entries: Vec::new(), state, damage: None }
    }

    pub fn open(&mut self, name: usize) -> Writer {
        if self.rule == Rule::Fenced {
            self.entries.push((name, 0));
        }
        Writer { name, next: self.entries.len(), over: false, state: self.state.clone() }
    }

    pub fn append(&mut self, writer: &mut Writer, records: &[Record]) -> Result<(), Refused> {
        if writer.over {
            return Err(Refused::Overtaken);
        }
        let mut ahead = writer.state.clone();
        for record in records {
            ahead.take(record).map_err(|e| Refused::Misfit(e.to_string()))?;
        }
        if records.is_empty() {
            return Ok(());
        }
        if self.entries.len() != writer.next && self.rule != Rule::Anywhere {
            writer.over = true;
            return Err(Refused::Overtaken);
        }
        self.entries.push((writer.name, records.len()));
        for record in records {
            if let Err(e) = self.state.take(record) {
                self.damage.get_or_insert(e.to_string());
            }
        }
        writer.next = self.entries.len();
        writer.state = ahead;
        Ok(())
    }
}
