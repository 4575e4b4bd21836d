//! Bad specs in both languages: what is said about each, and where.
//!
//! The texts in `tests/diagnostics/*.txt` are blessed with `RHUMB_BLESS=1 cargo test diagnostics`;
//! [`FACTS`] is written by hand, and blessing cannot change it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rhumb::cli::view::diagnostics as view;
use rhumb::diagnostic::{Diagnostics, SourceFile};
use rhumb::spec::{self, Cloud, Processors, RegionRef, Sources, Vocabulary};

fn processors() -> std::collections::BTreeMap<String, Processors> {
    let (cloud, name) = (rhumb_api::Cloud::Aws, str::to_owned);
    [
        ("aws/m7i", Processors::Series(cloud, name("m7i"))),
        ("aws/m7i.large", Processors::Type(cloud, name("m7i.large"))),
        ("arm64", Processors::Architecture(name("arm64"))),
        ("x86_64", Processors::Architecture(name("x86_64"))),
    ]
    .into_iter()
    .map(|(written, of)| (written.to_owned(), of))
    .collect()
}

/// A few names, so that the texts do not change with the catalogue.
pub fn vocabulary() -> Vocabulary {
    let pairs =
        |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let set = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    let region = |cloud, region: &str| RegionRef { cloud, region: region.to_owned() };
    Vocabulary {
        models: pairs(&[
            ("acme/one-7b", "acme/one-7b"),
            ("one-7b", "acme/one-7b"),
            ("acme/one-7b-instruct", "acme/one-7b"),
            ("acme/embed", "acme/embed"),
            ("acme/chat-8b", "acme/chat-8b"),
        ]),
        generators: set(&["acme/chat-8b"]),
        accelerators: pairs(&[
            ("h100", "nvidia-h100-sxm"),
            ("nvidia-h100-sxm", "nvidia-h100-sxm"),
            ("a100-40gb", "nvidia-a100-40gb"),
            ("a100-80gb", "nvidia-a100-80gb"),
            ("t4", "nvidia-t4"),
        ]),
        accelerator_families: [(
            "a100".to_owned(),
            vec!["nvidia-a100-40gb".to_owned(), "nvidia-a100-80gb".to_owned()],
        )]
        .into(),
        regions: vec![
            region(Cloud::Aws, "eu-west-1"),
            region(Cloud::Aws, "us-east-1"),
            region(Cloud::Azure, "westeurope"),
            region(Cloud::Gcp, "europe-west4"),
        ],
        jurisdictions: set(&["eu", "us", "de", "gb", "ie", "nl", "ch"]),
        countries: set(&["DE", "US", "GB", "IE", "NL", "CH"]),
        processors: processors(),
        sites: set(&[]),
        instance_types: set(&["p5.48xlarge", "g5.xlarge", "Standard_ND96isr_H100_v5", "a3-highgpu-8g"]),
        machines: [
            (Cloud::Aws, "p5.48xlarge"),
            (Cloud::Aws, "g5.xlarge"),
            (Cloud::Azure, "Standard_ND96isr_H100_v5"),
            (Cloud::Gcp, "a3-highgpu-8g"),
        ]
        .map(|(cloud, kind)| (cloud, kind.to_owned()))
        .into(),
    }
}

/// Reads one text as a spec of its own.
pub fn load(name: &str, text: &str) -> Result<spec::Loaded, Diagnostics> {
    load_all(&[(name, text)], &[])
}

/// Reads several texts as one spec.
pub fn load_all(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<spec::Loaded, Diagnostics> {
    let vocabulary = vocabulary();
    let read = |path: &str| match path {
        "./sizes.csv" => Ok(SIZES.as_bytes().to_vec()),
        "./wrong.csv" => Ok(WRONG_SIZES.as_bytes().to_vec()),
        _ => Err("there is no such file".to_owned()),
    };
    spec::load(&Sources {
        files: files
            .iter()
            .map(|(name, text)| SourceFile { name: (*name).to_owned(), text: (*text).to_owned() })
            .collect(),
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned(), "--var".to_owned()))
            .collect(),
        vocabulary: &vocabulary,
        read: &read,
    })
}

/// What a team measured of two sizes.
const SIZES: &str = "size_class,cloud,instance_type,requests_per_s
short,aws,p5.48xlarge,40.5
long,aws,p5.48xlarge,6
short,azure,standard_nd96isr_h100_v5,38
";

/// The same with a mistake in every row.
const WRONG_SIZES: &str = "size_class,cloud,instance_type,requests_per_s
shrt,aws,p5.48xlarge,40.5
long,aws,p5.48xlarge,6
long,aws,p5.48xlarge,7
short,aws,p5.49xlarge,8
long,azure,standard_nd96isr_h100_v5,fast
short,azure,standard_nd96isr_h100_v5,0
";

/// What must be reported for a file: code, line and column (in characters) of each problem, in order.
type Fact = (&'static str, &'static [(&'static str, usize, usize)]);

#[rustfmt::skip]
const FACTS: &[Fact] = &[
    ("rollout.yaml", &[("bad-value", 9, 27), ("out-of-range", 9, 47), ("conflicting-keys", 9, 62), ("not-supported-yet", 15, 16), ("out-of-range", 15, 24), ("unknown-key", 15, 28), ("not-supported-yet", 15, 40), ("cannot-read", 17, 14), ("not-supported-yet", 20, 16), ("unknown-value", 20, 40)]),
    ("unknown-key.yaml", &[("unknown-key", 7, 5)]),
    ("unknown-section.yaml", &[("nothing-to-plan", 1, 1), ("unknown-key", 4, 1)]),
    ("misplaced-key.yaml", &[("unknown-key", 9, 5), ("unknown-key", 10, 5), ("unknown-key", 11, 5), ("unknown-key", 12, 5), ("unknown-key", 13, 5), ("unknown-key", 14, 5)]),
    ("engine-cannot.yaml", &[("conflicting-keys", 9, 62), ("conflicting-keys", 10, 36)]),
    ("duplicate-key.yaml", &[("duplicate-key", 9, 28), ("duplicate-key", 10, 5)]),
    ("missing-unit.yaml", &[("missing-unit", 7, 22), ("missing-unit", 8, 25), ("missing-unit", 8, 43)]),
    ("wrong-unit.yaml", &[("wrong-unit", 7, 22), ("wrong-unit", 8, 25), ("wrong-unit", 8, 45)]),
    ("fraction-for-percent.yaml", &[("missing-unit", 9, 33), ("missing-unit", 10, 13)]),
    ("out-of-range.yaml", &[("out-of-range", 9, 22), ("out-of-range", 10, 33), ("out-of-range", 11, 13)]),
    ("negative-rate.yaml", &[("out-of-range", 7, 22), ("out-of-range", 7, 46)]),
    ("not-a-number.yaml", &[("not-finite", 7, 22), ("not-finite", 7, 50), ("not-finite", 8, 25)]),
    ("unknown-model.yaml", &[("unknown-model", 4, 16), ("unknown-model", 5, 16)]),
    ("unknown-accelerator.yaml", &[("unknown-accelerator", 9, 44), ("wrong-type", 9, 68)]),
    ("unknown-region.yaml", &[("unknown-region", 9, 28), ("unknown-region", 9, 40)]),
    ("unknown-instance-type.yaml", &[("unknown-instance-type", 9, 48)]),
    ("unknown-place.yaml", &[("unknown-place", 11, 18), ("unknown-place", 12, 18), ("bad-coordinates", 13, 18)]),
    ("unknown-cloud.yaml", &[("unknown-cloud", 9, 32), ("unknown-cloud", 10, 14)]),
    ("unknown-jurisdiction.yaml", &[("unknown-jurisdiction", 9, 30)]),
    ("shares.yaml", &[("shares-do-not-sum", 10, 7)]),
    ("tab.yaml", &[("syntax", 4, 1)]),
    ("open-bracket.yaml", &[("syntax", 4, 1)]),
    ("alias-bomb.yaml", &[("too-large", 6, 20)]),
    ("alias-cycle.yaml", &[("alias-cycle", 3, 6)]),
    ("too-deep.yaml", &[("too-deep", 3, 71)]),
    ("empty.yaml", &[("empty-file", 1, 1)]),
    ("only-comments.yaml", &[("empty-file", 1, 1)]),
    ("a-list.yaml", &[("wrong-type", 1, 1)]),
    ("several-documents.yaml", &[("several-documents", 3, 1)]),
    ("merge-key.yaml", &[("merge-key", 7, 5)]),
    ("held.yaml", &[("bad-date", 5, 103), ("unknown-region", 6, 47), ("unknown-value", 7, 14), ("unknown-cloud", 7, 28), ("unknown-region", 7, 42), ("unknown-instance-type", 7, 66), ("out-of-range", 7, 77), ("bad-date", 7, 88), ("missing-unit", 7, 100), ("not-supported-yet", 9, 3), ("missing-key", 10, 3), ("missing-key", 10, 3), ("unknown-key", 10, 85), ("unknown-value", 16, 30)]),
    ("savings.yaml", &[("out-of-range", 5, 47), ("empty-list", 5, 82), ("missing-key", 6, 3), ("missing-key", 6, 3), ("conflicting-keys", 6, 40), ("conflicting-keys", 6, 59), ("conflicting-keys", 6, 85), ("conflicting-keys", 6, 95), ("out-of-range", 7, 95), ("missing-key", 7, 103), ("unknown-region", 7, 114), ("missing-unit", 8, 47), ("useless-key", 8, 96), ("missing-key", 9, 3), ("missing-key", 9, 3), ("missing-key", 9, 3), ("conflicting-keys", 9, 39), ("conflicting-keys", 9, 55), ("not-supported-yet", 10, 14), ("unknown-region", 11, 109)]),
    ("held-none.yaml", &[("out-of-range", 7, 65), ("useless-key", 9, 17)]),
    ("not-supported.yaml", &[("not-supported-yet", 9, 31), ("not-supported-yet", 10, 28), ("not-supported-yet", 12, 5), ("not-supported-yet", 13, 30), ("not-supported-yet", 15, 1)]),
    ("trainings-words.yaml", &[("conflicting-keys", 6, 44), ("conflicting-keys", 7, 62), ("conflicting-keys", 8, 65)]),
    ("trainings.yaml", &[("conflicting-keys", 7, 13), ("not-supported-yet", 11, 15), ("unknown-key", 14, 5), ("conflicting-keys", 18, 5), ("out-of-range", 19, 21), ("out-of-range", 21, 18), ("missing-unit", 22, 41), ("empty-list", 23, 14), ("cycle", 25, 13), ("unknown-reference", 25, 26), ("missing-key", 26, 3), ("missing-key", 26, 3), ("missing-key", 26, 3), ("missing-key", 26, 3)]),
    ("chains.yaml", &[("conflicting-keys", 6, 70), ("not-supported-yet", 11, 83), ("not-supported-yet", 15, 18), ("unknown-reference", 15, 21), ("useless-key", 16, 12), ("bad-value", 17, 19), ("wrong-type", 17, 24), ("unknown-reference", 18, 22), ("not-supported-yet", 18, 40), ("not-supported-yet", 19, 44), ("unknown-key", 19, 57), ("missing-key", 20, 23), ("unknown-key", 20, 30), ("missing-key", 21, 3), ("missing-key", 21, 3), ("out-of-range", 22, 62)]),
    ("measured.yaml", &[("bad-name", 6, 13), ("bad-name", 7, 14), ("unknown-accelerator", 9, 52), ("ambiguous-accelerator", 9, 64), ("out-of-range", 9, 81), ("ambiguous-processors", 9, 86), ("out-of-range", 9, 109), ("missing-key", 10, 9), ("out-of-range", 10, 24), ("empty-value", 10, 30), ("out-of-range", 11, 60), ("missing-key", 11, 70), ("unknown-key", 11, 119), ("conflicting-keys", 14, 5), ("conflicting-keys", 15, 5), ("empty-list", 16, 36), ("duplicate-key", 16, 90), ("missing-key", 17, 5), ("useless-key", 17, 16), ("missing-key", 18, 3), ("missing-key", 19, 29), ("useless-key", 19, 40), ("out-of-reach", 20, 120), ("missing-key", 21, 8), ("empty-value", 21, 20), ("conflicting-keys", 25, 5), ("conflicting-keys", 26, 5), ("not-supported-yet", 27, 21), ("conflicting-keys", 28, 31), ("conflicting-keys", 28, 48), ("conflicting-keys", 28, 66), ("conflicting-keys", 29, 12), ("conflicting-keys", 29, 32), ("not-supported-yet", 30, 29), ("missing-key", 33, 46), ("conflicting-keys", 36, 29), ("not-supported-yet", 38, 15)]),
    ("processors.yaml", &[("ambiguous-processors", 8, 38), ("unknown-instance-type", 8, 48), ("unknown-instance-type", 8, 61), ("ambiguous-processors", 8, 83), ("out-of-range", 8, 110), ("out-of-range", 9, 56), ("out-of-range", 9, 92), ("missing-key", 9, 116), ("useless-key", 10, 56), ("duplicate-key", 10, 94)]),
    ("pipelines.yaml", &[("unknown-value", 5, 16), ("bad-name", 6, 30), ("empty-list", 6, 44), ("wrong-unit", 6, 55), ("ambiguous-processors", 6, 87), ("ambiguous-processors", 6, 98), ("wrong-unit", 6, 118), ("out-of-range", 6, 130), ("out-of-range", 6, 156), ("out-of-range", 6, 170), ("empty-value", 7, 57), ("missing-key", 7, 105), ("unknown-key", 7, 116), ("conflicting-keys", 7, 157), ("cycle", 7, 187), ("unknown-reference", 7, 213), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3)]),
    ("streams.yaml", &[("conflicting-keys", 6, 200), ("conflicting-keys", 6, 212), ("conflicting-keys", 6, 226), ("conflicting-keys", 6, 249), ("conflicting-keys", 6, 281), ("missing-key", 7, 3), ("missing-key", 7, 3), ("missing-key", 7, 3), ("not-supported-yet", 7, 16), ("missing-unit", 7, 51), ("out-of-range", 7, 68), ("not-supported-yet", 7, 158), ("unknown-key", 7, 169), ("out-of-range", 7, 211), ("not-supported-yet", 7, 215), ("waits-for-ever", 8, 144), ("wrong-unit", 9, 53), ("wrong-unit", 9, 77), ("out-of-reach", 9, 94), ("useless-key", 9, 198), ("missing-key", 10, 3), ("missing-key", 10, 3), ("missing-key", 10, 3), ("missing-key", 10, 3), ("missing-key", 10, 3)]),
    ("federations.yaml", &[("not-supported-yet", 5, 19), ("bad-name", 5, 35), ("empty-list", 5, 49), ("empty-list", 5, 60), ("out-of-range", 5, 75), ("out-of-range", 5, 86), ("wrong-unit", 5, 97), ("empty-value", 5, 106), ("empty-value", 5, 117), ("out-of-range", 5, 151), ("missing-unit", 5, 173), ("listed-twice", 6, 66), ("unknown-reference", 6, 75), ("conflicting-keys", 6, 96), ("not-supported-yet", 6, 132), ("duplicate-key", 6, 156), ("unknown-accelerator", 6, 166), ("ambiguous-processors", 6, 191), ("conflicting-keys", 7, 78), ("not-supported-yet", 7, 211), ("conflicting-keys", 7, 229), ("cycle", 7, 259), ("unknown-key", 7, 275), ("unknown-key", 7, 293), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3), ("missing-key", 8, 3)]),
    ("sites.yaml", &[("bad-coordinates", 6, 15), ("bad-name", 7, 14), ("missing-key", 8, 18), ("out-of-range", 8, 49), ("missing-unit", 9, 12), ("unused-site", 10, 3), ("missing-key", 14, 7), ("unknown-accelerator", 14, 25), ("bad-name", 15, 7), ("ambiguous-accelerator", 16, 25), ("wrong-unit", 16, 72), ("unused-site", 23, 3), ("conflicting-keys", 27, 18), ("unused-site", 28, 3), ("empty-value", 28, 62), ("useless-key", 33, 29), ("unknown-reference", 33, 63), ("conflicting-keys", 34, 29), ("conflicting-keys", 34, 29), ("unknown-cloud", 35, 52), ("not-supported-yet", 35, 77), ("unknown-reference", 35, 127), ("empty-list", 36, 38), ("useless-key", 36, 55), ("out-of-range", 36, 60), ("not-supported-yet", 37, 67), ("not-supported-yet", 39, 90), ("missing-key", 41, 3), ("not-supported-yet", 41, 132)]),
    ("daily.yaml", &[("wrong-length", 9, 92), ("out-of-range", 10, 90), ("unknown-value", 11, 92), ("unknown-value", 11, 116), ("useless-key", 12, 84), ("missing-key", 13, 106), ("not-supported-yet", 14, 128), ("not-supported-yet", 15, 163)]),
    ("week.yaml", &[("missing-key", 9, 57), ("wrong-length", 10, 78), ("unknown-value", 11, 78), ("out-of-range", 12, 77), ("useless-key", 13, 68), ("out-of-range", 14, 53), ("conflicting-keys", 15, 110), ("useless-key", 16, 115), ("not-supported-yet", 17, 113), ("wrong-type", 18, 127), ("missing-key", 19, 69)]),
    ("seasons.yaml", &[("conflicting-keys", 9, 89), ("conflicting-keys", 10, 97), ("out-of-range", 11, 66), ("out-of-range", 12, 70), ("out-of-range", 13, 70), ("bad-date", 14, 54), ("bad-date", 14, 65), ("wrong-type", 15, 79), ("out-of-range", 15, 119), ("out-of-range", 16, 89), ("useless-key", 17, 43), ("useless-key", 18, 84), ("missing-key", 19, 43), ("missing-key", 19, 43), ("unknown-key", 19, 61)]),
    ("not-supported-values.yaml", &[("not-supported-yet", 9, 30), ("not-supported-yet", 11, 29)]),
    ("remote-state.yaml", &[("missing-key", 9, 8), ("conflicting-keys", 9, 23), ("bad-name", 9, 37), ("conflicting-keys", 9, 51)]),
    ("shared-machines.yaml", &[("not-supported-yet", 11, 21), ("not-supported-yet", 14, 30), ("not-supported-yet", 14, 69)]),
    ("budget-labels.yaml", &[("unknown-label", 13, 13), ("limited-twice", 13, 27), ("unknown-label", 13, 40), ("unknown-label", 14, 5), ("unknown-label", 15, 5), ("unknown-label", 16, 24), ("limited-twice", 17, 12)]),
    ("budget-units.yaml", &[("out-of-range", 8, 18), ("out-of-range", 9, 18), ("wrong-unit", 10, 16), ("wrong-type", 11, 9)]),
    ("carbon.yaml", &[("wrong-unit", 9, 19), ("wrong-unit", 10, 12)]),
    ("carbon-words.yaml", &[("out-of-range", 9, 19), ("unknown-value", 10, 12)]),
    ("adapters.yaml", &[("missing-key", 4, 29), ("out-of-range", 5, 51), ("empty-value", 5, 65), ("bad-name", 6, 65), ("bad-name", 6, 92), ("duplicate-name", 7, 65), ("conflicting-keys", 8, 8)]),
    ("adapters-served.yaml", &[("unused-model", 5, 3), ("wrong-type", 5, 63), ("unused-model", 6, 3), ("empty-text", 6, 68), ("out-of-range", 10, 22), ("not-supported-yet", 12, 21), ("out-of-range", 16, 12), ("not-supported-yet", 20, 21)]),
    ("stability-alone.yaml", &[("useless-key", 7, 1)]),
    ("useless.yaml", &[("useless-key", 9, 5)]),
    ("stability-carbon.yaml", &[("conflicting-keys", 9, 1)]),
    ("profile.yaml", &[("not-supported-yet", 8, 5), ("conflicting-keys", 9, 5), ("conflicting-keys", 10, 5), ("conflicting-keys", 12, 31), ("shares-do-not-sum", 12, 50), ("not-supported-yet", 13, 16), ("not-supported-yet", 14, 17), ("missing-key", 15, 3), ("missing-key", 15, 3), ("useless-key", 20, 5), ("useless-key", 21, 69), ("cannot-read", 25, 14), ("unknown-reference", 32, 70), ("not-supported-yet", 34, 16)]),
    ("profile-rows.yaml", &[("unknown-reference", 2, 1), ("duplicate-key", 4, 1), ("unknown-instance-type", 5, 11), ("wrong-type", 6, 37), ("out-of-range", 7, 38)]),
    ("stability-words.yaml", &[("out-of-range", 9, 22)]),
    ("hcl-budget-labels.hcl", &[("unknown-label", 12, 25)]),
    ("literal-secret.yaml", &[("literal-secret", 11, 24), ("literal-secret", 12, 17)]),
    ("public-endpoint.yaml", &[("missing-key", 9, 27)]),
    ("bad-schedule.yaml", &[("bad-schedule", 5, 69), ("bad-schedule", 6, 69), ("bad-schedule", 7, 69)]),
    ("percentiles.yaml", &[("percentiles-out-of-order", 7, 45), ("incomplete-lengths", 7, 83), ("unknown-key", 8, 20), ("percentiles-out-of-order", 8, 42)]),
    ("objective-without-percentile.yaml", &[("wrong-type", 8, 18)]),
    ("no-objective.yaml", &[("missing-key", 5, 3)]),
    ("no-output.yaml", &[("missing-key", 7, 5)]),
    ("no-load.yaml", &[("missing-key", 7, 5), ("missing-key", 7, 5)]),
    ("two-loads.yaml", &[("conflicting-keys", 7, 31)]),
    ("variables.yaml", &[("missing-variable", 10, 3), ("wrong-type", 11, 31), ("expression-not-allowed", 12, 17), ("unknown-value", 13, 14)]),
    ("cycle.yaml", &[("cycle", 10, 3)]),
    ("undefined-variable.yaml", &[("bad-expression", 9, 25), ("bad-expression", 9, 80)]),
    ("broken-expression.yaml", &[("bad-expression", 7, 29)]),
    ("unknown-function.yaml", &[("bad-expression", 7, 25), ("bad-expression", 7, 61)]),
    ("unknown-reference.yaml", &[("unknown-reference", 4, 103), ("unknown-reference", 6, 15), ("unknown-reference", 8, 67), ("unknown-reference", 9, 18)]),
    ("version-as-number.yaml", &[("wrong-type", 9, 36)]),
    ("bad-name.yaml", &[("bad-name", 2, 7), ("bad-name", 5, 3)]),
    ("empty-value.yaml", &[("empty-value", 9, 5), ("wrong-type", 10, 14)]),
    ("wide-characters.yaml", &[("unknown-key", 10, 17), ("missing-unit", 11, 48)]),
    ("defaults.yaml", &[("unknown-key", 10, 16), ("out-of-range", 11, 31)]),
    ("no-trace.yaml", &[("cannot-read", 7, 23)]),
    ("context.yaml", &[("useless-key", 7, 5), ("context-too-short", 10, 38)]),
    ("degrade.yaml", &[("useless-key", 13, 46), ("below-floor", 14, 123), ("useless-key", 21, 21), ("duplicate-name", 21, 82), ("unknown-reference", 21, 114), ("missing-key", 22, 71), ("missing-key", 22, 87), ("empty-list", 23, 97), ("not-supported-yet", 28, 41), ("not-supported-yet", 28, 71), ("not-supported-yet", 28, 101), ("not-supported-yet", 31, 16), ("not-supported-yet", 32, 28), ("not-supported-yet", 32, 37), ("not-supported-yet", 33, 17), ("not-supported-yet", 34, 16), ("not-supported-yet", 35, 5), ("not-supported-yet", 35, 21), ("not-supported-yet", 36, 23), ("not-supported-yet", 38, 74)]),
    ("divide.yaml", &[("useless-key", 9, 94), ("empty-list", 10, 101), ("out-of-order", 11, 118), ("useless-key", 11, 123), ("not-supported-yet", 15, 7), ("not-supported-yet", 20, 16), ("not-supported-yet", 21, 5), ("not-supported-yet", 24, 16), ("not-supported-yet", 25, 104), ("bad-name", 26, 101), ("bad-name", 28, 139)]),
    ("divide-held.yaml", &[("not-supported-yet", 14, 16), ("not-supported-yet", 14, 16), ("not-supported-yet", 18, 16), ("not-supported-yet", 18, 16)]),
    ("divide-many.yaml", &[("not-supported-yet", 9, 55)]),
    ("changing.yaml", &[("conflicting-keys", 9, 163), ("not-supported-yet", 10, 153), ("useless-key", 14, 22), ("not-supported-yet", 15, 29), ("not-supported-yet", 16, 122), ("missing-key", 17, 101), ("bad-name", 18, 116), ("unknown-value", 20, 101)]),
    ("changing-carbon.yaml", &[("not-supported-yet", 10, 29), ("not-supported-yet", 11, 29), ("not-supported-yet", 11, 116), ("not-supported-yet", 15, 16), ("useless-key", 15, 22), ("not-supported-yet", 19, 16), ("useless-key", 19, 22)]),
    ("changing-held.yaml", &[("not-supported-yet", 14, 16), ("not-supported-yet", 14, 16), ("not-supported-yet", 18, 16), ("not-supported-yet", 18, 16), ("not-supported-yet", 23, 95)]),
    ("degrade-held.yaml", &[("not-supported-yet", 14, 5), ("not-supported-yet", 20, 5)]),
    ("secret-path.yaml", &[("absolute-path", 9, 16)]),
    ("money.yaml", &[("missing-unit", 9, 20), ("wrong-unit", 9, 46), ("not-a-quantity", 10, 13)]),
    ("hcl-syntax.hcl", &[("syntax", 7, 12)]),
    ("hcl-unquoted.hcl", &[("syntax", 9, 22)]),
    ("hcl-duplicate-attribute.hcl", &[("duplicate-key", 13, 3)]),
    ("hcl-duplicate-block.hcl", &[("duplicate-key", 14, 3), ("duplicate-key", 17, 9)]),
    ("hcl-unknown-key.hcl", &[("unknown-key", 13, 15), ("unknown-key", 14, 3)]),
    ("hcl-labels.hcl", &[("wrong-labels", 13, 3), ("wrong-labels", 15, 1), ("wrong-labels", 16, 1)]),
    ("hcl-units.hcl", &[("missing-unit", 9, 20), ("wrong-unit", 12, 24)]),
    ("hcl-undefined-variable.hcl", &[("bad-expression", 11, 23), ("bad-expression", 12, 20)]),
    ("hcl-cycle.hcl", &[("cycle", 8, 3)]),
    ("hcl-too-deep.hcl", &[("too-deep", 3, 74)]),
    ("hcl-types.hcl", &[("bad-expression", 9, 20), ("bad-expression", 10, 20)]),
    ("hcl-directive.hcl", &[("bad-expression", 9, 21)]),
    ("hcl-unknown-model.hcl", &[("unknown-model", 4, 22)]),
    ("hcl-not-supported.hcl", &[("not-supported-yet", 13, 13), ("not-supported-yet", 17, 1)]),
    ("hcl-literal-secret.hcl", &[("literal-secret", 16, 23)]),
    ("hcl-empty.hcl", &[("empty-file", 1, 1)]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

fn problems(file: &str) -> (String, Diagnostics) {
    let text = fs::read_to_string(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let found = load(file, &text).expect_err(file);
    (text, found)
}

#[test]
fn every_problem_is_reported_where_it_is() {
    let mut wrong = Vec::new();
    for (file, expected) in FACTS {
        let (_, found) = problems(file);
        let got: Vec<(&str, usize, usize)> = found
            .list
            .iter()
            .map(|d| {
                let place = d.span.as_ref().and_then(|s| found.map.locate(s));
                place.map_or((d.code, 0, 0), |l| (d.code, l.line, l.column))
            })
            .collect();
        if got != *expected {
            wrong.push(format!("{file}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_problem_says_what_to_do() {
    for (file, _) in FACTS {
        for problem in problems(file).1.list {
            let help = problem.help.as_deref().unwrap_or("");
            assert!(!help.is_empty(), "{file}: {} has no help", problem.message);
            assert!(!problem.message.contains('\n'), "{file}: {}", problem.message);
            assert!(problem.label.is_some(), "{file}: {} has no label", problem.message);
        }
    }
}

#[test]
fn texts_are_as_blessed() {
    let bless = std::env::var_os("RHUMB_BLESS").is_some();
    let mut wrong = Vec::new();
    for (file, _) in FACTS {
        let (_, found) = problems(file);
        let text = view::text(&found, false, 100);
        let golden = folder().join(file).with_extension("txt");
        if bless {
            fs::write(&golden, &text).expect("golden");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if expected != text {
            wrong.push(format!("{file}: differs from {}\n{text}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_case_is_forgotten() {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder()).expect("folder") {
        files.insert(entry.expect("entry").file_name().to_string_lossy().into_owned());
    }
    let mut known = BTreeSet::new();
    for (file, _) in FACTS {
        known.insert((*file).to_owned());
        known.insert(Path::new(file).with_extension("txt").to_string_lossy().into_owned());
    }
    assert_eq!(files, known);
    assert!(FACTS.len() >= 40);
    for extension in ["yaml", "hcl"] {
        let count = FACTS.iter().filter(|(f, _)| f.ends_with(extension)).count();
        assert!(count >= 15, "{count} {extension}");
    }
}

#[test]
fn no_text_shows_a_secret() {
    for (file, secret) in [
        ("literal-secret.yaml", "MIIDdzCCAl"),
        ("literal-secret.yaml", "sk-live-4242"),
        ("hcl-literal-secret.hcl", "sk-live-1234567890"),
    ] {
        let (text, found) = problems(file);
        assert!(text.contains(secret), "{file}");
        assert!(!view::text(&found, false, 100).contains(secret), "{file}");
        assert!(!view::json(&found).to_string().contains(secret), "{file}");
    }
}

#[test]
fn json_has_ranges_and_the_line() {
    let (_, found) = problems("missing-unit.yaml");
    let json = view::json(&found);
    assert_eq!(json["schema"], "rhumb.diagnostics/1");
    assert_eq!(json["ok"], false);
    let first = &json["diagnostics"][0];
    assert_eq!(first["code"], "missing-unit");
    assert_eq!(first["severity"], "error");
    assert_eq!(first["pointer"], "/services/s/traffic/peak");
    assert_eq!(first["at"]["range"]["start"]["line"], 7);
    assert_eq!(first["at"]["range"]["start"]["column"], 22);
    assert_eq!(first["at"]["range"]["end"]["column"], 24);
    assert_eq!(first["at"]["snippet"], "    traffic: { peak: 12, input_tokens: 100, output_tokens: 10 }");
}

/// The lines that are a message or a help, not the source that they are about.
fn prose(text: &str) -> Vec<&str> {
    let starts = ["  x ", "  | ", "  help: ", "        "];
    text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect()
}

#[test]
fn prose_is_folded_in_a_narrow_window() {
    for (file, _) in FACTS {
        let (_, found) = problems(file);
        for width in [40, 50, 60, 80] {
            let text = view::text(&found, false, width);
            for line in prose(&text) {
                // A word longer than a line stays whole, so that it can be copied.
                let unbroken = line.trim_start_matches("  help: ").split_whitespace().count() < 2;
                assert!(line.chars().count() <= width || unbroken, "{file} at {width}: {line:?}");
            }
        }
    }
}
