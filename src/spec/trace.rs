//! A recorded trace of requests: what its busiest hour says.

use super::units::Problem;
use super::{Arrivals, Lengths};

/// Seconds of the window.
const HOUR_S: f64 = 3600.0;

/// What the busiest hour of a trace says.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Requests per second.
    pub rate: f64,
    /// Tokens of prompts.
    pub input: Lengths,
    /// Tokens of answers.
    pub output: Lengths,
    /// Bursty if the gaps vary more than those of independent arrivals.
    pub arrivals: Arrivals,
    /// The requests of that hour, in the order of their times.
    pub requests: Vec<RecordedRequest>,
}

/// A recorded request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordedRequest {
    /// When it was sent, seconds.
    pub at_s: f64,
    /// Tokens of the prompt.
    pub input: f64,
    /// Tokens of the answer.
    pub output: f64,
}

/// Reads a CSV with the columns `time` (seconds, or RFC 3339), `input_tokens`, `output_tokens`.
///
/// The busiest hour is the window of 3600 s that holds the most requests; of a shorter trace it is
/// the whole, and the rate is that of its duration.
///
/// # Errors
/// Not a CSV, a column that is missing, a value that cannot be read (with its line), fewer than two requests.
pub fn read(name: &str, bytes: &[u8]) -> Result<Recorded, Problem> {
    let bad = |message: String, help: &str| Problem::new("bad-trace", message, "in this file", help);
    let shape = "the first line names the columns `time`, `input_tokens`, `output_tokens`";
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let headers = reader.headers().map_err(|e| bad(format!("`{name}` is not a CSV: {e}"), shape))?.clone();
    let column = |wanted: &str| {
        headers
            .iter()
            .position(|h| h == wanted)
            .ok_or_else(|| bad(format!("`{name}` has no column `{wanted}`"), shape))
    };
    let (time, input, output) = (column("time")?, column("input_tokens")?, column("output_tokens")?);
    let mut requests = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| bad(format!("`{name}`: {e}"), shape))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| record.get(column).unwrap_or("");
        let number = |column: usize| -> Result<f64, Problem> {
            let value: f64 = cell(column).parse().unwrap_or(f64::NAN);
            if value.is_finite() && (0.0..=1e8).contains(&value) {
                Ok(value)
            } else {
                Err(bad(
                    format!("`{name}` line {line}: `{}` is not a number of tokens", cell(column)),
                    "token counts are numbers from 0",
                ))
            }
        };
        let at_s = seconds(cell(time)).ok_or_else(|| {
            bad(
                format!("`{name}` line {line}: `{}` is not a time", cell(time)),
                "write seconds, or RFC 3339 such as `2026-11-25T06:00:00Z`",
            )
        })?;
        requests.push(RecordedRequest { at_s, input: number(input)?, output: number(output)? });
    }
    if requests.len() < 2 {
        return Err(bad(
            format!("`{name}` has fewer than two requests"),
            "record at least an hour of traffic",
        ));
    }
    requests.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    let duration = requests[requests.len() - 1].at_s - requests[0].at_s;
    let (first, last) = busiest(&requests);
    let hour = &requests[first..=last];
    let window = duration.min(HOUR_S);
    if window <= 0.0 {
        return Err(bad(
            format!("all requests of `{name}` have the same time"),
            "record at least an hour of traffic",
        ));
    }
    // Of a trace shorter than the window, n requests span n - 1 gaps.
    let count = if duration < HOUR_S { hour.len() - 1 } else { hour.len() };
    let gaps: Vec<f64> = hour.windows(2).map(|pair| pair[1].at_s - pair[0].at_s).collect();
    let burstiness = spread(&gaps).1;
    Ok(Recorded {
        rate: count as f64 / window,
        input: lengths(hour.iter().map(|r| r.input)),
        output: lengths(hour.iter().map(|r| r.output)),
        arrivals: if burstiness > 1.0 {
            Arrivals::Bursty { cv2: crate::math::round_to(burstiness, 6) }
        } else {
            Arrivals::Poisson
        },
        requests: hour.to_vec(),
    })
}

fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(timestamp.as_millisecond() as f64 / 1e3)
}

/// First and last request of the window with the most.
fn busiest(requests: &[RecordedRequest]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut first = 0;
    for (last, request) in requests.iter().enumerate() {
        while request.at_s - requests[first].at_s >= HOUR_S {
            first += 1;
        }
        if last - first > best.1 - best.0 {
            best = (first, last);
        }
    }
    best
}

/// Mean and squared coefficient of variation.
fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    (mean, if mean > 0.0 { variance / (mean * mean) } else { 0.0 })
}

pub(super) fn lengths(values: impl Iterator<Item = f64>) -> Lengths {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let (mean, cv2) = spread(&sorted);
    let at = |p: f64| {
        let index = (p * sorted.len() as f64).ceil() as usize;
        sorted.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
    };
    Lengths { mean, cv2, p95: at(0.95), max: sorted.last().copied().unwrap_or(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_hour_is_found() {
        let mut csv = String::from("time,input_tokens,output_tokens\n");
        // One request every 100 s for two hours, then one every 10 s for an hour, then quiet.
        for i in 0..72 {
            csv += &format!("{},100,10\n", i * 100);
        }
        for i in 0..360 {
            csv += &format!("{},{},20\n", 7200 + i * 10, 200 + i % 2 * 200);
        }
        csv += "20000,1,1\n";
        let read = read("t.csv", csv.as_bytes()).unwrap();
        assert_eq!(read.rate, 0.1);
        assert_eq!(read.input.mean, 300.0);
        assert!((read.input.cv2 - 1.0 / 9.0).abs() < 1e-12);
        assert_eq!((read.input.p95, read.input.max), (400.0, 400.0));
        assert_eq!(read.output, Lengths { mean: 20.0, cv2: 0.0, p95: 20.0, max: 20.0 });
        assert_eq!(read.arrivals, Arrivals::Poisson);
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        let message = |csv: &str| read("t.csv", csv.as_bytes()).unwrap_err().message;
        assert!(message("time,input_tokens\n1,2\n").contains("output_tokens"));
        assert!(message("time,input_tokens,output_tokens\n1,2,x\n").contains("line 2"));
        assert!(message("time,input_tokens,output_tokens\nsoon,2,3\n").contains("`soon` is not a time"));
        assert!(message("time,input_tokens,output_tokens\n1,2,3\n").contains("fewer than two"));
        assert!(message("time,input_tokens,output_tokens\n1,2,3\n1,2,3\n").contains("same time"));
    }
}
