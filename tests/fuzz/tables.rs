//! Tables of a user's own: profiles and price lists.

use rhumb::catalog::Catalog;
use rhumb::diagnostic::SourceFile;
use rhumb::spec::profile::{MICRO, MOST_RATE};
use rhumb::spec::{self, Sources};

use super::{Edit, INPUTS, edited, sound, vocabulary};

const SPEC: &str = include_str!("../../examples/own-profile/deploy.yaml");
const PROFILE: &str = include_str!("../../examples/own-profile/profile.csv");
const PRICES: &str = "cloud,instance_type,region,purchase,price,currency,date
aws,g6.xlarge,us-east-1,on_demand,0.72,USD,2026-10-01
aws,g6e.xlarge,us-east-1,,\"1.65\",USD,2026-10-01
azure,Standard_ND96isr_H100_v5,eastus,reserved_1y,61.1,USD,2026-10-01
";

#[test]
fn profiles() {
    let (mut read, mut refused) = (0, 0);
    bolero::check!().with_iterations(INPUTS).with_type::<Vec<Edit>>().for_each(|edits| {
        let bytes = edited(PROFILE, edits);
        let sources = Sources {
            files: vec![SourceFile { name: "fuzz.yaml".into(), text: SPEC.into() }],
            variables: Vec::new(),
            vocabulary: vocabulary(),
            read: &|_| Ok(bytes.clone()),
        };
        match spec::load(&sources) {
            Ok(loaded) => {
                let profile = &loaded.spec.profiled["assistant"].profile;
                let rows = profile.rates.values().flat_map(|of| of.values());
                let mut rates = rows.map(|row| row.micro as f64 / MICRO as f64);
                assert!(rates.all(|rate| rate > 0.0 && rate <= MOST_RATE), "{profile:?}");
            }
            Err(diagnostics) => sound(&diagnostics),
        }
    });
    // Unedited it is read, and without its first line it is not.
    for text in [PROFILE, PROFILE.split_once('\n').unwrap().1] {
        let sources = Sources {
            files: vec![SourceFile { name: "fuzz.yaml".into(), text: SPEC.into() }],
            variables: Vec::new(),
            vocabulary: vocabulary(),
            read: &|_| Ok(text.as_bytes().to_vec()),
        };
        match spec::load(&sources) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert_eq!((read, refused), (1, 1));
}

#[test]
fn price_lists() {
    // With no other price, what a list adds is what there is.
    let empty = Catalog { offerings: Vec::new(), ..Catalog::embedded() };
    let rows = |text: &str| {
        let mut catalog = empty.clone();
        let found = catalog.apply_user_file("fuzz.csv", text);
        found.map(|()| catalog)
    };
    assert_eq!(rows(PRICES).unwrap().offerings.len(), 3);
    // A list is read against the whole catalogue each time.
    bolero::check!().with_iterations(INPUTS / 5).with_type::<Vec<Edit>>().for_each(|edits| {
        let Ok(text) = String::from_utf8(edited(PRICES, edits)) else { return };
        match rows(&text) {
            Ok(catalog) => {
                let own = |o: &rhumb::catalog::Offering| {
                    o.is_own() && o.price.micros() > 0 && o.provenance.as_of.len() == 10
                };
                assert!(!catalog.offerings.is_empty() && catalog.offerings.iter().all(own), "{text}");
            }
            Err(diagnostics) => sound(&diagnostics),
        }
    });
}
