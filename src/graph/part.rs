//! Which requests of a service are meant for one of its parts.

use rhumb_api::Attr;

use super::attributes::Builder;
use crate::spec::{By, Service};

/// The attribute `part` of a load balancer; `None` of a whole service.
pub(super) fn attribute(service: &Service) -> Option<Attr> {
    let of = service.part_of.as_ref()?;
    let (above, to) = match of.slice.by {
        By::Prompts => ("prompt_tokens_above", "prompt_tokens_to"),
        By::Load => ("peak_ppm_above", "peak_ppm_to"),
    };
    let part = Builder::default()
        .with("of", format!("services.{}", of.service.name).as_str())
        .maybe(above, Some(i64::from(of.slice.above)).filter(|n| *n > 0))
        .maybe(to, of.slice.to.map(i64::from));
    let Some(daily) = of.service.traffic.daily.as_ref().filter(|_| of.slice.by == By::Load) else {
        return Some(part.map());
    };
    let hours = daily.hours_of(of.slice).iter().map(|h| Attr::from(h.as_str())).collect();
    Some(part.with("hours", Attr::List(hours)).with("time_zone", daily.time_zone.as_str()).map())
}
