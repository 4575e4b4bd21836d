//! `degrade` of a service.

use super::{Key, Kind};
use crate::spec::units::{Range, Unit};

/// What may stand in.
pub static DEGRADE: &[Key] = &[
    Key::new(
        "to",
        Kind::List(&Kind::Section(SMALLER)),
        "Models, of which the cheapest stands in for what fails of a pool; the first of equally cheap ones.",
    )
    .required(),
    Key::new(
        "keep",
        Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE),
        "The least share of the score of the service's model that will do during a failure.",
    )
    .required(),
];

static SMALLER: &[Key] = &[
    Key::new("model", Kind::Model, "A name in `models`, with one variant.").required(),
    Key::new(
        "quality",
        Kind::Quantity(Unit::Percent, Range { max: 2.0, ..Range::POSITIVE_SHARE }),
        "The share of the score of the service's model that it keeps on your own task, as you measured it: nothing is known of it here.",
    )
    .required(),
];
