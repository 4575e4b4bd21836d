//! Which sessions' tokens a replica still has in its KV cache, least recently used first to go.

use std::collections::BTreeMap;

/// The prefixes of sessions that no running sequence holds.
#[derive(Debug, Default)]
pub(super) struct PrefixCache {
    /// Session to its age and tokens.
    kept: BTreeMap<u32, (u64, f64)>,
    /// Age to session.
    order: BTreeMap<u64, u32>,
    tokens: f64,
    clock: u64,
}

impl PrefixCache {
    /// Tokens of a session that were found; they are its sequence's from now on.
    pub fn take(&mut self, session: u32) -> f64 {
        let Some((age, tokens)) = self.kept.remove(&session) else { return 0.0 };
        self.order.remove(&age);
        self.tokens -= tokens;
        tokens
    }

    /// A sequence ended and leaves its tokens.
    pub fn keep(&mut self, session: u32, tokens: f64) {
        self.take(session);
        self.clock += 1;
        self.kept.insert(session, (self.clock, tokens));
        self.order.insert(self.clock, session);
        self.tokens += tokens;
    }

    /// Running sequences leave only this many tokens of room.
    pub fn shrink(&mut self, room: f64) {
        while self.tokens > room.max(0.0) {
            let Some((_, session)) = self.order.pop_first() else {
                self.tokens = 0.0;
                return;
            };
            if let Some((_, tokens)) = self.kept.remove(&session) {
                self.tokens -= tokens;
            }
        }
    }
}
