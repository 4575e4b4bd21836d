//! How long a step takes.

use crate::perf::{ServiceCurve, StepTable};

/// What one step computes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Sequences that decode a token.
    pub decoding: u32,
    /// Tokens that those sequences hold together, on average over the step.
    pub context: f64,
    /// Prompts of which a part is computed.
    pub prompts: u32,
    /// Prompt tokens that are computed.
    pub new: f64,
    /// Sum over those tokens' chunks of `end^2 - start^2`, `start` and `end` being positions in the prompt:
    /// twice the pairs that causal attention looks at.
    pub pairs: f64,
}

/// How long a step takes.
pub trait Timing {
    /// Seconds of a step; above 0 for a step that is not empty.
    fn step(&self, step: &Step) -> f64;
    /// Seconds that a request spends before it reaches the engine.
    fn before_s(&self) -> f64;
}

/// The timing that the closed forms assume: a step is `alpha + beta b` and the marginal time of its prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Seconds of a step that decodes, without its sequences.
    pub alpha_s: f64,
    /// Seconds for each sequence that decodes.
    pub beta_s: f64,
    /// Seconds of a step that only prefills, beyond the marginal time of its prompts.
    pub alone_s: f64,
    /// Seconds for each prompt, whatever its length.
    pub per_prompt_s: f64,
    /// Seconds for each prompt token.
    pub per_token_s: f64,
    /// Seconds for each unit of [`Step::pairs`].
    pub per_pair_s: f64,
    /// Seconds before the engine.
    pub before_s: f64,
}

impl Linear {
    /// The timing of a replica with this curve.
    pub fn of(curve: &ServiceCurve) -> Self {
        if curve.shape.output.mean <= 0.0 {
            return Linear {
                alpha_s: 0.0,
                beta_s: 0.0,
                alone_s: curve.alpha_s,
                per_prompt_s: curve.beta_s,
                per_token_s: 0.0,
                per_pair_s: 0.0,
                before_s: (curve.ttft_floor_s - curve.alpha_s - curve.beta_s).max(0.0),
            };
        }
        let p = curve.prompt;
        Linear {
            alpha_s: curve.alpha_s,
            beta_s: curve.beta_s,
            alone_s: (curve.ttft_floor_s - p.before_s - curve.w_s).max(0.0),
            per_prompt_s: 0.0,
            per_token_s: p.per_token_s,
            per_pair_s: p.per_pair_s,
            before_s: p.before_s,
        }
    }
}

impl Linear {
    /// Seconds that a step's prompts add.
    fn prompts(&self, step: &Step) -> f64 {
        self.per_prompt_s * f64::from(step.prompts)
            + self.per_token_s * step.new
            + self.per_pair_s * step.pairs
    }
}

impl Timing for Linear {
    fn step(&self, step: &Step) -> f64 {
        let decode = if step.decoding > 0 {
            self.alpha_s + self.beta_s * f64::from(step.decoding)
        } else {
            self.alone_s
        };
        decode + self.prompts(step)
    }

    fn before_s(&self) -> f64 {
        self.before_s
    }
}

/// The timing by the kernels: decode steps from the table of the curve, all else as in [`Linear`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tabulated {
    /// What there is no table for.
    pub line: Linear,
    /// Decode steps; without it they take what the line says.
    pub steps: Option<StepTable>,
}

impl Tabulated {
    /// The timing of a replica with this curve.
    pub fn of(curve: &ServiceCurve) -> Self {
        Tabulated { line: Linear::of(curve), steps: curve.steps }
    }
}

impl Timing for Tabulated {
    fn step(&self, step: &Step) -> f64 {
        let (Some(table), true) = (&self.steps, step.decoding > 0) else { return self.line.step(step) };
        let batch = f64::from(step.decoding);
        let decode = table.at(batch, step.context / batch);
        decode + self.line.prompts(step)
    }

    fn before_s(&self) -> f64 {
        self.line.before_s
    }
}
