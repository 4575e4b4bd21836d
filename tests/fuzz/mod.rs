//! Fuzz targets: text that a person or another program wrote never makes rhumb panic; it is a value
//! or a diagnostic with a place.
//!
//! They run as tests with a bounded number of inputs. For longer, `BOLERO_RANDOM_ITERATIONS=1000000
//! cargo test --test it fuzz`, or `cargo bolero test --test it fuzz::yaml` under a coverage-guided engine.
//! A failure names its `BOLERO_RANDOM_SEED`.

mod structure;
mod tables;

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::diagnostic::{Diagnostics, SourceFile};
use rhumb::spec::{self, Sources, Vocabulary};

/// Inputs of a target in a plain test run.
const INPUTS: usize = 2_000;

/// One edit of a text: where (as a share of its length), what, and with what.
type Edit = (u16, u8, u8);

/// Texts that the edits put in: what parsers of these languages stumble over.
const TOKENS: &[&str] = &[
    "\n",
    "  ",
    "\t",
    ":",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "---\n",
    "...\n",
    "#",
    "%",
    "${",
    "}}",
    "${var.",
    "%{ if ",
    "null",
    "~",
    "NaN",
    ".inf",
    "-1",
    "1e999",
    "0x",
    "99999999999999999999",
    "é",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "🦀",
    "//",
    "/*",
    "<<EOT\n",
    "EOT\n",
    "req/s",
    "500ms",
    "60%",
    "any",
    "not",
    "rhumb: 1\n",
];

/// `text` with some edits: bytes changed, tokens put in, parts cut out or doubled.
pub fn edited(text: &str, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, what, with) in edits.iter().take(24) {
        let at = usize::from(*place) * bytes.len() / 65_536;
        let end = (at + usize::from(*with) % 80).min(bytes.len());
        match what % 6 {
            0 if at < bytes.len() => bytes[at] = *with,
            1 | 2 => {
                let token = TOKENS[usize::from(*with) % TOKENS.len()];
                bytes.splice(at..at, token.bytes());
            }
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

fn vocabulary() -> &'static Vocabulary {
    static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
    VOCABULARY.get_or_init(|| Catalog::embedded().vocabulary())
}

/// Loads one file; every problem must be in the text or about a thing without text, and printable.
fn load(name: &str, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let sources = Sources {
        files: vec![SourceFile { name: name.into(), text: text.into() }],
        variables: Vec::new(),
        vocabulary: vocabulary(),
        read: &|path| Err(format!("{path}: no files here")),
    };
    match spec::load(&sources) {
        Ok(loaded) => {
            assert!(!loaded.warnings.has_errors(), "a value comes without errors");
            assert!(loaded.spec.confidence > 0.0 && loaded.spec.confidence < 1.0);
        }
        Err(diagnostics) => sound(&diagnostics),
    }
}

fn sound(diagnostics: &Diagnostics) {
    assert!(diagnostics.has_errors(), "a refusal has a reason");
    for d in &diagnostics.list {
        assert!(!d.message.trim().is_empty() && !d.code.is_empty(), "{d:?}");
        if let Some(span) = &d.span {
            let text = &diagnostics.map.files[span.file].text;
            assert!(span.start <= span.end && span.end <= text.len(), "{d:?}");
            let whole = text.is_char_boundary(span.start) && text.is_char_boundary(span.end);
            assert!(whole, "a caret would cut a character in two: {d:?}");
            assert!(diagnostics.map.locate(span).is_some(), "{d:?}");
        }
    }
}

const YAML: &[&str] = &[
    include_str!("../../examples/support-chat/deploy.yaml"),
    include_str!("../../examples/document-rag/deploy.yaml"),
    include_str!("../../examples/nightly-embedding/deploy.yaml"),
];
const HCL: &[&str] = &[include_str!("../../examples/two-models/deploy.hcl")];

#[test]
fn yaml_front_end() {
    bolero::check!().with_iterations(INPUTS).with_type::<(u8, Vec<Edit>)>().for_each(|(which, edits)| {
        load("fuzz.yaml", &edited(YAML[usize::from(*which) % YAML.len()], edits));
    });
}

#[test]
fn hcl_front_end() {
    bolero::check!().with_iterations(INPUTS).with_type::<(u8, Vec<Edit>)>().for_each(|(which, edits)| {
        load("fuzz.hcl", &edited(HCL[usize::from(*which) % HCL.len()], edits));
    });
}

#[test]
fn front_ends_on_noise() {
    bolero::check!().with_iterations(INPUTS).with_type::<Vec<Edit>>().for_each(|edits| {
        let noise = edited("x", edits);
        load("fuzz.yaml", &noise);
        load("fuzz.hcl", &noise);
    });
}

const RESULTS: &[&str] = &[
    include_str!("../it/fixtures/calibrate/vllm-0.25.1.json"),
    include_str!("../it/fixtures/calibrate/vllm-2024-detailed.json"),
    include_str!("../it/fixtures/calibrate/guidellm-0.5.json"),
    include_str!("../it/fixtures/calibrate/aiperf-0.10.json"),
    include_str!("../it/fixtures/calibrate/genai-perf.json"),
];

#[test]
fn benchmark_results() {
    bolero::check!().with_iterations(INPUTS).with_type::<(u8, Vec<Edit>)>().for_each(|(which, edits)| {
        let bytes = edited(RESULTS[usize::from(*which) % RESULTS.len()], edits);
        match rhumb::calibrate::read("fuzz.json", &bytes) {
            Ok(results) => {
                assert!(!results.measurements.is_empty());
                for m in &results.measurements {
                    let figures = [m.ttft.ms, m.tpot.ms, m.input, m.output, m.load.in_flight()];
                    assert!(figures.iter().all(|x| x.is_finite() && *x > 0.0), "{m:?}");
                    assert!(m.ttft.error >= 0.0 && m.tpot.error >= 0.0, "{m:?}");
                }
            }
            Err(refusal) => assert!(!refusal.reason.is_empty() && !refusal.fix.is_empty(), "{refusal}"),
        }
    });
}

#[test]
fn calibration_files() {
    const FILE: &str = include_str!("../it/fixtures/calibrate/calibration.json");
    bolero::check!().with_iterations(INPUTS).with_type::<Vec<Edit>>().for_each(|edits| {
        let Ok(text) = String::from_utf8(edited(FILE, edits)) else { return };
        if let Ok(found) = rhumb::calibrate::file::decode("fuzz.json", &text) {
            let again = rhumb::calibrate::file::encode(found.runs());
            let back = rhumb::calibrate::file::decode("fuzz.json", &again).expect("what is written is read");
            assert_eq!(back.runs(), found.runs());
        }
    });
}

#[test]
fn the_edits_reach_both_outcomes() {
    // Unedited text is a value and cut text is a refusal: the targets above do not always take one way.
    let whole = Sources {
        files: vec![SourceFile { name: "a.yaml".into(), text: YAML[0].into() }],
        variables: Vec::new(),
        vocabulary: vocabulary(),
        read: &|path| Err(path.to_owned()),
    };
    assert!(spec::load(&whole).is_ok());
    let cut = String::from_utf8(edited(YAML[0], &[(30_000, 5, 0)])).unwrap();
    let cut = Sources { files: vec![SourceFile { name: "a.yaml".into(), text: cut }], ..whole };
    assert!(spec::load(&cut).is_err());
}

#[test]
fn arithmetic_never_panics() {
    for (expression, value) in [
        ("1 % 0", None),
        ("1 / 0", None),
        ("-9223372036854775808 - 1", Some("-9223372036854775808")),
        ("18446744073709551615 * 2", Some("36893488147419103000")),
        ("-18446744073709551615", Some("-18446744073709552000")),
        ("7 % 4 + 6 / 2 - -1", Some("7")),
        ("1 / 4", Some("0.25")),
    ] {
        for (name, text) in [
            ("a.yaml", format!("rhumb: 1\nname: x\nlabels: {{ a: \"v${{{expression}}}\" }}\n")),
            ("a.hcl", format!("rhumb = 1\nname = \"x\"\nlabels = {{ a = \"v${{{expression}}}\" }}\n")),
        ] {
            let sources = Sources {
                files: vec![SourceFile { name: name.into(), text }],
                variables: Vec::new(),
                vocabulary: vocabulary(),
                read: &|path| Err(path.to_owned()),
            };
            let problems = match spec::load(&sources) {
                Ok(loaded) => {
                    assert_eq!(
                        value.map(|v| format!("v{v}")),
                        loaded.spec.labels.get("a").cloned(),
                        "{expression}"
                    );
                    continue;
                }
                Err(diagnostics) => diagnostics,
            };
            let arithmetic = problems.list.iter().filter(|d| d.code == "bad-expression").count();
            assert_eq!(arithmetic > 0, value.is_none(), "{name} {expression}: {:#?}", problems.list);
        }
    }
}

#[test]
fn plan_file() {
    let rich = include_str!("../../plans/support-chat/saved.json");
    bolero::check!().with_iterations(INPUTS).with_type::<Vec<Edit>>().for_each(|edits| {
        let bytes = edited(rich, edits);
        let Ok(text) = std::str::from_utf8(&bytes) else { return };
        match rhumb::plan::file::decode("fuzz.json", text) {
            Ok(plan) => {
                let again = rhumb::plan::file::decode("again", &rhumb::plan::file::encode(&plan));
                assert_eq!(again.ok(), Some(plan), "what is read can be written and read again");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn state_file() {
    let rich = include_str!("../it/fixtures/state/one.json");
    bolero::check!().with_iterations(INPUTS).with_type::<Vec<Edit>>().for_each(|edits| {
        let bytes = edited(rich, edits);
        let Ok(text) = std::str::from_utf8(&bytes) else { return };
        match rhumb::state::file::decode("fuzz.json", text) {
            Ok(state) => {
                let again = rhumb::state::file::decode("again", &rhumb::state::file::encode(&state));
                assert_eq!(again.ok(), Some(state), "what is read can be written and read again");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
