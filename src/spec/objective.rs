//! `objective`: what is minimised.

use rhumb_api::Money;
use serde_json::Value;

use super::leaf::{Read, suggest};
use super::units::{Problem, Range, Unit, quantity};
use super::{Budget, Spec};
use crate::diagnostic::Pointer;

/// `objective`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// The bill.
    #[default]
    Cost,
    /// The bill and a price of what is emitted.
    Priced {
        /// Dollars for a tonne of CO2e, 0.0001 or more.
        per_tonne: Money,
    },
    /// What is emitted; the bill decides among equals.
    Carbon,
}

/// Most dollars for a tonne that may be stated: a tenth of what stands for [`Goal::Carbon`].
const MOST: f64 = 1e7;

/// Least dollars for a tonne: less is lost where a milligram is priced.
const LEAST: Money = Money::from_micros(100);

/// What a tonne costs by [`Goal::Carbon`], dollars: 100 for a gram. Where saving a gram costs more than that, the bill decides.
const ONLY_CARBON: i64 = 100_000_000;

impl Goal {
    /// Dollars that a tonne of CO2e counts for in what is minimised; zero where nothing does.
    pub fn per_tonne(self) -> Money {
        match self {
            Goal::Cost => Money::ZERO,
            Goal::Priced { per_tonne } => per_tonne,
            Goal::Carbon => Money::from_micros(ONLY_CARBON * 1_000_000),
        }
    }
}

impl Spec {
    /// Where it was written that emissions count: a cap, a price or the objective; `None` if they do not.
    pub fn carbon_at(&self) -> Option<Pointer> {
        let Budget { carbon, .. } = &self.budget;
        let cap = carbon.as_ref().map(|cap| cap.at.clone());
        cap.or_else(|| (self.objective != Goal::Cost).then(|| Pointer::root().join("objective")))
    }
}

/// Reads `cost`, `carbon` or `{ carbon_price: 90 USD/t }`.
///
/// # Errors
/// Anything else, or a price that is no price.
pub fn read(value: &Value) -> Read<Goal> {
    const WORDS: [&str; 2] = ["cost", "carbon"];
    let range = Range { min: 0.0, min_open: true, max: MOST, max_open: false };
    match value {
        Value::String(word) if word == "cost" => Ok(Goal::Cost),
        Value::String(word) if word == "carbon" => Ok(Goal::Carbon),
        Value::String(word) => Err(Problem::new(
            "unknown-value",
            format!("`{word}` is not an objective"),
            "unknown value",
            format!("{}; or `{{ carbon_price: 90 USD/t }}`", suggest(word, WORDS, "objectives")),
        )),
        Value::Object(map) => {
            if let Some(other) = map.keys().find(|key| *key != "carbon_price") {
                return Err(Problem::new(
                    "unknown-key",
                    format!("unknown key `{other}`"),
                    "not known here",
                    "write `{ carbon_price: 90 USD/t }`",
                ));
            }
            let Some(price) = map.get("carbon_price") else {
                return Err(Problem::new(
                    "missing-key",
                    "`carbon_price` is missing",
                    "no price",
                    "write `{ carbon_price: 90 USD/t }`",
                ));
            };
            let dollars = quantity(Unit::PerTonne, range, price)?;
            let per_tonne = Money::from_usd(dollars).ok().filter(|price| *price >= LEAST);
            let per_tonne = per_tonne.ok_or_else(|| {
                Problem::new(
                    "out-of-range",
                    "the price is below 0.0001 USD a tonne, which no plan would notice",
                    "too small",
                    "write `cost`",
                )
            })?;
            Ok(Goal::Priced { per_tonne })
        }
        other => Err(super::leaf::wrong_type(
            "`cost`, `carbon` or a price of carbon",
            other,
            "{ carbon_price: 90 USD/t }",
        )),
    }
}
