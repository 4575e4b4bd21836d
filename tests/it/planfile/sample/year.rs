//! A coming year in which every field has a value.

use std::collections::BTreeMap;

use rhumb::placement::Stop;
use rhumb::plan::{Outlook, Period, PeriodCost, Year, YearBudget};
use rhumb::spec::season::SpanPeak;

use super::usd;

pub fn year() -> Year {
    let peaks = |season: Option<&str>, times, lead| {
        let peak = SpanPeak { season: season.map(str::to_owned), times, lead };
        BTreeMap::from([("services.chat".to_owned(), peak)])
    };
    let cost = PeriodCost {
        expected: usd(101_000_000),
        peak: usd(102_000_000),
        ceiling: usd(103_000_000),
        machines: 17,
        budgets: vec![usd(104_000_000), usd(105_000_000)],
    };
    let nothing = Outlook {
        cost: None,
        refused: Vec::new(),
        would_do: Vec::new(),
        proven: false,
        ended: None,
        warnings: Vec::new(),
    };
    let refused = Outlook {
        refused: vec!["services.chat: quota: too little".into()],
        would_do: vec!["192 vcpus more".into()],
        proven: true,
        ..nothing.clone()
    };
    let placed = Outlook {
        cost: Some(cost),
        proven: true,
        warnings: vec!["quota P: not verified".into()],
        ..nothing.clone()
    };
    let period = |from: &str, to: &str, days, peaks, outlook| Period {
        from: from.into(),
        to: to.into(),
        days,
        peaks,
        outlook,
    };
    Year {
        days: 365,
        periods: vec![
            period("2026-11-25", "2026-11-30", 6, peaks(None, 1_000_000, 0), placed),
            period("2026-12-01", "2026-12-24", 24, peaks(Some("christmas"), 3_000_000, 5), refused),
            period(
                "2026-12-25",
                "2027-11-24",
                335,
                peaks(None, 1_000_000, 0),
                Outlook { ended: Some(Stop::TimeLimit), ..nothing },
            ),
        ],
        expected: Some(usd(106_000_000)),
        budgets: vec![
            YearBudget { limit: usd(107_000_000), figure: Some(usd(108_000_000)) },
            YearBudget { limit: usd(109_000_000), figure: None },
        ],
    }
}
