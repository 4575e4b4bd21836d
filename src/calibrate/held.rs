//! Whether a closed loop held the requests in flight that it was asked for: only then is its load the one
//! that it is compared under.

use super::Fault;
use crate::perf::Load;

/// Least share of the asked requests in flight that must have been held on average.
///
/// What a finite run starts and ends with lowers it: published runs whose answers are as spread as people's hold 0.80
/// and 0.82 of it with three requests for each client, and 0.88 with six; equal lengths hold nearly all. At three
/// quarters a time per token is off by a quarter where all of a step grows with its batch, and by less elsewhere: most
/// requests are answered before the end, beside as many as were asked for. Below that, a prediction for more clients
/// than there were would be blamed.
const LEAST_HELD: f64 = 0.75;

/// Requests for each client after which the start and the end of a run no longer decide.
const ROUNDS: f64 = 10.0;

/// Requests in flight on average.
pub(super) enum Held {
    /// As the file counts them.
    Counted(f64),
    /// By Little's law.
    Little {
        /// Requests/s that were answered.
        rate: f64,
        /// Mean time from a request to the end of its answer, seconds.
        each_s: f64,
    },
}

impl Held {
    /// By Little's law, if both are known.
    pub fn by_law(rate: Option<f64>, each_s: Option<f64>) -> Option<Self> {
        let (rate, each_s) = (rate.filter(|x| *x > 0.0)?, each_s.filter(|x| *x > 0.0)?);
        Some(Held::Little { rate, each_s })
    }
}

/// The load of a closed loop that was asked for so many requests in flight; `requests` is 0 if the file does not
/// count them.
///
/// # Errors
/// It cannot have held them, or did not.
pub(super) fn closed(asked: f64, requests: u64, held: Option<Held>) -> Result<Load, Fault> {
    let sent = requests as f64;
    let enough = |least: f64| {
        let least = least.max(ROUNDS * asked).ceil();
        format!("send at least {least:.0} requests, {:.0} for each client", (least / asked).ceil())
    };
    if requests > 0 && sent < asked {
        return Err(Fault::new(
            format!("{asked} requests in flight were asked for, and only {requests} were sent in all"),
            enough(0.0),
        ));
    }
    let (mean, how) = match held {
        None => return Ok(Load::Closed { concurrency: asked }),
        Some(Held::Counted(mean)) => (mean, "by the file's own count".to_owned()),
        Some(Held::Little { rate, each_s }) => {
            (rate * each_s, format!("{rate:.2} requests/s of {each_s:.2} s each"))
        }
    };
    // One at a time is alone in the engine however long the pauses are.
    if mean.max(1.0) >= LEAST_HELD * asked {
        return Ok(Load::Closed { concurrency: asked });
    }
    let reason =
        format!("{asked} requests in flight were asked for, and {mean:.1} were held on average ({how})");
    // Start and end cost the same share of a client's time however many requests lie between them.
    let lost = sent * (asked / mean - 1.0) / (1.0 / LEAST_HELD - 1.0);
    let fix = if sent < ROUNDS * asked {
        enough(if lost.is_finite() { lost } else { 0.0 })
    } else {
        format!(
            "find out what held requests back (a slow or pausing client, a limit on the way to the engine), or \
             ask for the {:.0} that were held",
            mean.max(1.0)
        )
    };
    Err(Fault::new(reason, fix))
}
