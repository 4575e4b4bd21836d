//! Templates for the shape and the objectives of common uses.
//!
//! Lengths and ranges are those of a public planner for the same audience. Its lengths are single
//! figures without a spread, so they are read as fixed lengths; its latency targets are 95th
//! percentiles, strict to relaxed.

/// One use.
#[derive(Clone, Copy, Debug)]
pub struct UseCase {
    /// Name in the spec.
    pub name: &'static str,
    /// Tokens of a prompt and of an answer.
    pub tokens: (f64, f64),
    /// Time to first token, ms, p95: strict and relaxed.
    pub ttft_ms: (f64, f64),
    /// Time per output token, ms, p95.
    pub tpot_ms: (f64, f64),
    /// End to end, ms, p95.
    pub e2e_ms: (f64, f64),
}

const fn row(
    name: &'static str,
    tokens: (f64, f64),
    ttft_ms: (f64, f64),
    tpot_ms: (f64, f64),
    e2e_ms: (f64, f64),
) -> UseCase {
    UseCase { name, tokens, ttft_ms, tpot_ms, e2e_ms }
}

/// All uses.
pub const TABLE: [UseCase; 9] = [
    row("chatbot_conversational", (512.0, 256.0), (100.0, 500.0), (15.0, 50.0), (3940.0, 13_300.0)),
    row("code_completion", (512.0, 256.0), (50.0, 200.0), (10.0, 35.0), (2610.0, 9160.0)),
    row("code_generation_detailed", (1024.0, 1024.0), (150.0, 600.0), (15.0, 45.0), (15_500.0, 46_700.0)),
    row("translation", (512.0, 256.0), (200.0, 800.0), (20.0, 50.0), (5320.0, 20_000.0)),
    row("content_generation", (512.0, 256.0), (200.0, 800.0), (20.0, 50.0), (5320.0, 25_000.0)),
    row("summarization_short", (4096.0, 512.0), (200.0, 800.0), (20.0, 50.0), (10_400.0, 26_400.0)),
    row("document_analysis_rag", (4096.0, 512.0), (400.0, 1200.0), (25.0, 60.0), (13_200.0, 40_000.0)),
    row(
        "long_document_summarization",
        (10_240.0, 1536.0),
        (800.0, 3000.0),
        (30.0, 70.0),
        (46_900.0, 110_500.0),
    ),
    row("research_legal_analysis", (10_240.0, 1536.0), (1500.0, 5000.0), (30.0, 80.0), (60_000.0, 300_000.0)),
];

/// The names, in the order of the table.
pub static NAMES: &[&str] = &[
    TABLE[0].name,
    TABLE[1].name,
    TABLE[2].name,
    TABLE[3].name,
    TABLE[4].name,
    TABLE[5].name,
    TABLE[6].name,
    TABLE[7].name,
    TABLE[8].name,
];

/// What to aim at within a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The strict end.
    Latency,
    /// The middle.
    Balanced,
    /// The relaxed end.
    Cost,
}

impl Priority {
    /// By its name in the spec.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "latency" => Some(Priority::Latency),
            "balanced" => Some(Priority::Balanced),
            "cost" => Some(Priority::Cost),
            _ => None,
        }
    }

    /// The target within a range from strict to relaxed.
    pub fn within(self, (strict, relaxed): (f64, f64)) -> f64 {
        match self {
            Priority::Latency => strict,
            Priority::Balanced => (strict + relaxed) / 2.0,
            Priority::Cost => relaxed,
        }
    }
}

/// By name.
pub fn find(name: &str) -> Option<UseCase> {
    TABLE.into_iter().find(|u| u.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_go_from_strict_to_relaxed() {
        for row in TABLE {
            for range in [row.ttft_ms, row.tpot_ms, row.e2e_ms] {
                assert!(range.0 < range.1, "{}", row.name);
            }
        }
        let chat = find("chatbot_conversational").unwrap();
        assert_eq!(Priority::Latency.within(chat.ttft_ms), 100.0);
        assert_eq!(Priority::Balanced.within(chat.ttft_ms), 300.0);
        assert_eq!(Priority::Cost.within(chat.ttft_ms), 500.0);
    }
}
