//! A service that is served in parts.

use rhumb::placement::{DearerDivision, Divided, DividedService, DivisionOption, ServicePart};
use rhumb::spec::By;

use super::{coupling, usd};

pub fn services() -> Divided {
    let part = |address: &str, above, to| ServicePart {
        address: address.into(),
        above,
        to,
        hours: vec!["00:00-08:00".into()],
        share: 0.5,
    };
    Divided {
        services: [(
            "services.long".to_owned(),
            DividedService {
                by: By::Load,
                at: vec![2048],
                parts: vec![
                    part("services.long-to-2048", 0, Some(2048)),
                    part("services.long-above-2048", 2048, None),
                ],
                options: vec![
                    DivisionOption { at: vec![], least: vec![Some(usd(9_000_000))] },
                    DivisionOption { at: vec![2048], least: vec![None, Some(usd(4_000_000))] },
                ],
            },
        )]
        .into(),
        lower_bound: usd(8_999_999),
        dearer: vec![DearerDivision {
            at: [("services.long".to_owned(), vec![])].into(),
            lower_bound: None,
            coupling: Some(coupling()),
        }],
        gave_up: true,
    }
}
