//! How work arrives, and what the turns of a conversation ask of an engine.

use crate::math;

/// A distribution of lengths, in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lengths {
    /// Mean.
    pub mean: f64,
    /// Coefficient of variation squared (0 = fixed length).
    pub cv2: f64,
    /// 95th percentile.
    pub p95: f64,
    /// The longest that must fit the context window (the 99.9th percentile unless stated).
    pub max: f64,
}

/// The amount of work.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// `peak`: requests per second in the busiest hour.
    Rate(f64),
    /// `concurrency`: requests in flight in the busiest hour (closed loop of that many clients), or `sessions`.
    Concurrency(f64),
}

/// How requests are spread in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Independent arrivals.
    Poisson,
    /// Bursts, by the squared coefficient of variation of the gaps (above 1).
    Bursty {
        /// Squared coefficient of variation of the gaps between arrivals.
        cv2: f64,
    },
    /// Evenly spaced.
    Constant,
}

/// `sessions`: conversations of several turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sessions {
    /// `turns`: requests of a conversation.
    pub turns: u32,
    /// `think_time`, seconds.
    pub think_s: f64,
    /// Tokens that the user adds in a turn.
    pub added: Lengths,
}

impl Sessions {
    /// Tokens of the prompt of any turn, `output` being those of an answer: turn `k` of `n` repeats the `k - 1`
    /// turns and answers before it.
    ///
    /// The mean is exact; the variance is that between turns and, independent from turn to turn, within them.
    pub fn prompt(&self, output: &Lengths) -> Lengths {
        let n = f64::from(self.turns.max(1));
        let (added, answer) = (self.added, output);
        if n <= 1.0 {
            return added;
        }
        let variance = |l: &Lengths| l.cv2 * l.mean * l.mean;
        let grows = added.mean + answer.mean;
        let mean = (grows * (n + 1.0) / 2.0) - answer.mean;
        let within = (n + 1.0) / 2.0 * variance(&added) + (n - 1.0) / 2.0 * variance(answer);
        let all = grows * grows * (n * n - 1.0) / 12.0 + within;
        let spread = math::sqrt(n * variance(&added) + (n - 1.0) * variance(answer));
        let last = n * added.mean + (n - 1.0) * answer.mean;
        // The longest is a last turn at the 99.9th percentile of what was said before.
        let max = libm::ceil(last + math::normal_quantile(0.999) * spread).max(added.max);
        let cv2 = all / (mean * mean);
        let sigma = math::sqrt(math::ln(1.0 + cv2));
        let p95 = math::exp(math::ln(mean) - sigma * sigma / 2.0 + math::normal_quantile(0.95) * sigma);
        Lengths { mean, cv2, p95: p95.min(max), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three turns of 100 tokens with answers of 50: prompts of 100, 250 and 400 tokens.
    #[test]
    fn prompts_grow_by_what_was_said() {
        let fixed = |mean| Lengths { mean, cv2: 0.0, p95: mean, max: mean };
        let sessions = Sessions { turns: 3, think_s: 1.0, added: fixed(100.0) };
        let prompt = sessions.prompt(&fixed(50.0));
        assert_eq!((prompt.mean, prompt.max), (250.0, 400.0));
        assert!((prompt.cv2 * 250.0 * 250.0 - 15_000.0).abs() < 1e-6, "{prompt:?}");
        assert!(prompt.p95 <= 400.0);
        let one = Sessions { turns: 1, ..sessions };
        assert_eq!(one.prompt(&fixed(50.0)), fixed(100.0));
    }
}
