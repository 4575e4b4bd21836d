//! `chains`: services that a request goes through, with one objective for all of it.

use serde_json::Value;

use super::Spec;
use super::leaf::{Read, wrong_type};
use super::units::Problem;
use crate::diagnostic::Pointer;

/// Services that a request goes through.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Name in the spec.
    pub name: String,
    /// Names of services: one step after the other, those of a step at once. Each service is in one step of one chain.
    pub steps: Vec<Vec<String>>,
    /// `between`: what passes between and beside the steps, ms.
    pub between_ms: f64,
    /// The quantile of the objective, a fraction below 1.
    pub quantile: f64,
    /// At most this many milliseconds from the first step's call to the last one's answer.
    pub limit_ms: f64,
    /// Where the objective was written.
    pub at: Pointer,
}

impl Chain {
    /// The services, in the order of the steps.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flatten().map(String::as_str)
    }

    /// What all steps together may take, ms.
    pub fn left_ms(&self) -> f64 {
        self.limit_ms - self.between_ms
    }

    /// The quantile that each service must keep its part of the limit at: if each of `n` breaks it for no more than an `n`th of what the
    /// chain may break, no more than that breaks any of them, whatever depends on what (Boole's inequality). Rounded up to a millionth.
    pub fn part_quantile(&self) -> f64 {
        let n = self.services().count().max(1) as f64;
        (1.0 - ((1.0 - self.quantile) / n * 1e6 + 1e-6).floor() / 1e6).max(self.quantile)
    }

    /// The limit that each step has before it is known what is cheapest, ms: equal parts.
    pub fn equal_ms(&self) -> f64 {
        self.left_ms() / self.steps.len().max(1) as f64
    }

    /// The limit of a service by this chain, ms; `None` if it has none.
    pub fn limit_of(&self, spec: &Spec, service: &str) -> Option<f64> {
        let own = &spec.services.get(service)?.slo.e2e;
        own.iter().find(|o| o.at == self.at).map(|o| o.limit_ms)
    }

    /// Sets it.
    pub fn set_limit(&self, spec: &mut Spec, service: &str, limit_ms: f64) {
        let own = spec.services.get_mut(service).map(|s| &mut s.slo.e2e);
        for objective in own.into_iter().flatten().filter(|o| o.at == self.at) {
            objective.limit_ms = limit_ms;
        }
    }
}

/// A step: a service, or a list of those that are called at once.
///
/// # Errors
/// Anything else, or a list of fewer than two.
pub fn step(value: &Value) -> Read<Vec<String>> {
    let name = |value: &Value| match value {
        Value::String(name) => Ok(name.clone()),
        other => Err(wrong_type("the name of a service", other, "rank")),
    };
    match value {
        Value::Array(all) if all.len() < 2 => Err(Problem::new(
            "bad-value",
            "a list in `steps` is of services that are called at once",
            "fewer than two",
            "write the service without `[ ]`",
        )),
        Value::Array(all) => all.iter().map(name).collect(),
        other => Ok(vec![name(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(steps: &[&[&str]], quantile: f64) -> Chain {
        let steps = steps.iter().map(|s| s.iter().map(|n| (*n).to_owned()).collect()).collect();
        let at = Pointer::root();
        Chain { name: "c".into(), steps, between_ms: 5.0, quantile, limit_ms: 125.0, at }
    }

    #[test]
    fn what_each_part_may_break_sums_to_what_the_chain_may() {
        let two = chain(&[&["a"], &["b"]], 0.99);
        assert!((two.part_quantile() - 0.995).abs() < 1e-12);
        assert!((two.equal_ms() - 60.0).abs() < 1e-12);
        let three = chain(&[&["a"], &["b", "c"]], 0.99);
        assert!((three.part_quantile() - 0.996_667).abs() < 1e-9, "{}", three.part_quantile());
        assert!(3.0 * (1.0 - three.part_quantile()) <= 0.01 + 1e-12);
        assert!((three.equal_ms() - 60.0).abs() < 1e-12);
        // Whole millionths are not lost to what floats make of them.
        assert_eq!(chain(&[&["a", "b"]], 0.9).part_quantile().to_bits(), 0.95_f64.to_bits());
        // Where nothing is left to break, nothing may be broken: no such objective is kept, and none is promised.
        let many: Vec<&str> = std::iter::repeat_n("a", 101).collect();
        assert!((chain(&[&many[..]], 0.9999).part_quantile() - 1.0).abs() < 1e-12);
        assert!((chain(&[&["a"]], 0.95).part_quantile() - 0.95).abs() < 1e-12);
    }

    #[test]
    fn a_step_is_a_service_or_several() {
        assert_eq!(step(&serde_json::json!("a")).unwrap(), ["a"]);
        assert_eq!(step(&serde_json::json!(["a", "b"])).unwrap(), ["a", "b"]);
        for bad in [serde_json::json!(["a"]), serde_json::json!(3), serde_json::json!(["a", 3])] {
            assert!(step(&bad).is_err(), "{bad}");
        }
    }
}
