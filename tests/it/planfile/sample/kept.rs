//! What is kept of what runs.

use rhumb_api::{Cloud, Money};

pub fn services() -> rhumb::placement::Kept {
    let at = |region: &str| rhumb::placement::MachinesAt {
        cloud: Cloud::Aws,
        region: region.to_owned(),
        instance_type: "p5.48xlarge".to_owned(),
        shared: region == "eu-south-2",
    };
    let free = rhumb::placement::FreeChoice { places: vec![at("eu-south-2")], cost: Money::from_micros(1) };
    let chat = rhumb::placement::KeptWorkload {
        running: vec![at("eu-west-1"), at("us-east-1")],
        planned: vec![at("eu-west-1")],
        cost: Money::from_micros(2),
        free: Some(free),
    };
    let rank = rhumb::placement::KeptWorkload { free: None, ..chat.clone() };
    rhumb::placement::Kept {
        saving_ppm: 100_000,
        workloads: [("services.chat".to_owned(), chat), ("services.rank".to_owned(), rank)].into(),
        cost: Money::from_micros(4),
        free: None,
    }
}
