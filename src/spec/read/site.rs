//! `sites`, and what a service at a site must and cannot have.

use std::collections::BTreeMap;

use super::*;
use crate::spec::units::hourly;

impl Reader<'_> {
    /// `sites`.
    pub(super) fn sites(&mut self, at: &At<'_>) -> BTreeMap<String, EdgeSite> {
        let mut sites: BTreeMap<String, EdgeSite> = BTreeMap::new();
        for (name, at) in at.entries() {
            let Some(site) = self.site(name, &at) else { continue };
            for machine in site.machines.values() {
                let mut others =
                    sites.values().filter_map(|s| Some((&s.name, s.machines.get(&machine.name)?)));
                if let Some((other, _)) = others.find(|(_, known)| !known.is_like(machine)) {
                    let message =
                        format!("`{}` is other hardware than `{}` of `{other}`", machine.name, machine.name);
                    self.report(
                        &machine.at,
                        true,
                        Problem::new(
                            "conflicting-keys",
                            message,
                            "another machine of this name",
                            "a name means the same hardware and power at every site: give this one a name of its own",
                        ),
                    );
                }
            }
            sites.insert(name.to_owned(), site);
        }
        sites
    }

    fn site(&mut self, name: &str, at: &At<'_>) -> Option<EdgeSite> {
        at.value?.as_object()?;
        let location = at.key("location");
        let place = location.get(|v| leaf::place(self.vocabulary, v));
        let position = match place {
            Some(Place::Coordinates { latitude, longitude }) => Some((latitude, longitude)),
            Some(_) => {
                self.report(
                    &location.pointer,
                    false,
                    Problem::new(
                        "bad-coordinates",
                        "a site stands at one place, not in a country or region",
                        "degrees north and degrees east",
                        "write its coordinates: `[48.14, 11.58]`",
                    ),
                );
                None
            }
            None => None,
        };
        let country = self.site_country(&at.key("country"));
        let inventory = at.key("inventory");
        if inventory.is_there() && inventory.entries().is_empty() {
            self.report(
                &inventory.pointer,
                true,
                Problem::new(
                    "empty-value",
                    "nothing stands there",
                    "empty",
                    "write a machine: `l4-node: { accelerator: l4, count: 6, vcpus: 16, memory: 64GiB }`",
                ),
            );
        }
        let cost = at.key("cost").get(hourly);
        let machines = inventory.entries().into_iter();
        let machines: BTreeMap<String, SiteMachine> = machines
            .filter_map(|(name, machine)| Some((name.to_owned(), self.machine(name, &machine, at, cost)?)))
            .collect();
        let wan = at.key("wan");
        let (latitude, longitude) = position?;
        Some(EdgeSite {
            name: name.to_owned(),
            latitude,
            longitude,
            country: country?,
            machines,
            power_watts: at.key("power").quantity(Unit::Power, Range::POSITIVE),
            grid: at.key("grid").quantity(Unit::Intensity, Range::NOT_NEGATIVE),
            pue: at.key("pue").quantity(Unit::Number, Range::POSITIVE),
            lan_ms: at.key("lan").quantity(Unit::Duration, Range::NOT_NEGATIVE),
            wan: Wan {
                mbps: wan.key("bandwidth").quantity(Unit::Bandwidth, Range::POSITIVE),
                round_trip_ms: wan.key("round_trip").quantity(Unit::Duration, Range::NOT_NEGATIVE),
            },
            at: at.pointer.clone(),
        })
    }

    fn site_country(&mut self, at: &At<'_>) -> Option<String> {
        let written = at.text()?;
        let upper = written.to_uppercase();
        let is_code = upper.len() == 2 && upper.bytes().all(|b| b.is_ascii_uppercase());
        if is_code && upper != "EU" && upper != "UK" {
            return Some(upper);
        }
        self.report(
            &at.pointer,
            false,
            Problem::new(
                "bad-name",
                format!("`{written}` is no country"),
                "not a country",
                "write an ISO 3166 code of two letters, such as `DE`",
            ),
        );
        None
    }

    fn machine(
        &mut self,
        name: &str,
        at: &At<'_>,
        site: &At<'_>,
        cost_of_site: Option<Money>,
    ) -> Option<SiteMachine> {
        if name == POWER {
            self.report(
                &at.pointer,
                true,
                Problem::new(
                    "bad-name",
                    "a machine cannot be named `power`: the limit on power is named so",
                    "taken",
                    "name it after its hardware: `l4-node`",
                ),
            );
            return None;
        }
        if self.vocabulary.regions.iter().any(|r| r.region == name) {
            self.report(
                &at.pointer,
                true,
                Problem::new(
                    "bad-name",
                    format!("`{name}` is a region of a cloud"),
                    "taken",
                    "name the machine after its hardware: `l4-node`",
                ),
            );
        }
        let stated = at.key("cost");
        let cost = if stated.is_there() { stated.get(hourly) } else { cost_of_site };
        if !stated.is_there() && !site.key("cost").is_there() {
            self.report(
                &at.pointer,
                true,
                Problem::new(
                    "missing-key",
                    format!("`{}` has no cost", at.pointer.dotted()),
                    "what does it cost in use?",
                    "add `cost: 0.9 USD/h` here or to the site; `0 USD/h` if it counts for nothing",
                ),
            );
        }
        let accelerator = at.key("accelerator");
        let ids = accelerator.get(|v| leaf::accelerators(self.vocabulary, v))?;
        let [id] = ids.as_slice() else {
            self.report(
                &accelerator.pointer,
                false,
                Problem::new(
                    "ambiguous-accelerator",
                    format!("`{}` stands for several accelerators", accelerator.text().unwrap_or_default()),
                    "which one stands there?",
                    format!("write one of: {}", ids.join(", ")),
                ),
            );
            return None;
        };
        let count = at.key("count").whole()?;
        Some(SiteMachine {
            name: name.to_owned(),
            accelerator: id.clone(),
            accelerators: at.key("accelerators").whole().unwrap_or(1).max(1),
            count,
            vcpus: f64::from(at.key("vcpus").whole()?),
            memory_gib: at.key("memory").quantity(Unit::Data, Range::POSITIVE)?,
            cost: cost?,
            power_watts: at.key("power").quantity(Unit::Power, Range::POSITIVE).map(f64::ceil),
            at: at.pointer.clone(),
        })
    }

    /// What only several sections together can be wrong about.
    pub(super) fn placed_at_sites(
        &mut self,
        root: &At<'_>,
        services: &BTreeMap<String, Service>,
        federations: &BTreeMap<String, Federation>,
        sites: &BTreeMap<String, EdgeSite>,
    ) {
        for (name, service) in services {
            let at = root.key("services").key(name);
            self.at_sites(&at, service);
        }
        for kind in ["batches", "trainings", "pipelines"] {
            for (_, at) in root.key(kind).entries() {
                let placement = at.key("placement");
                for key in [placement.key("sites"), placement.key("each_of")] {
                    if !key.is_there() {
                        continue;
                    }
                    let what = format!("`{}`", key.pointer.dotted());
                    self.report(&key.pointer, true, leaf::not_yet(&what, "only services go to sites"));
                }
            }
        }
        let used = |name: &str| {
            let mut named =
                services.values().map(|s| &s.placement.sites).chain(federations.values().map(|f| &f.sites));
            named.any(|sites| sites.iter().any(|site| site == name))
        };
        let written = root.key("sites").entries();
        for (name, at) in written.iter().filter(|(name, _)| sites.contains_key(*name) && !used(name)) {
            self.problems.push(
                Diagnostic::warning("unused-site", format!("nothing goes to the site `{name}`"))
                    .at_key(self.map, &at.pointer)
                    .label("not used")
                    .help("name it in the `placement.sites` of a service or the `sites` of a federation, or remove it"),
            );
        }
    }

    fn at_sites(&mut self, at: &At<'_>, service: &Service) {
        let placement = at.key("placement").key("sites");
        if placement.is_there() && placement.items().is_empty() {
            self.report(
                &placement.pointer,
                false,
                Problem::new(
                    "empty-list",
                    "an empty list names no site",
                    "empty",
                    "name a site, or remove the key",
                ),
            );
        }
        if service.shares && !service.placement.sites.is_empty() {
            let key = at.key("share_machines").pointer;
            let what = "`within-deployment` at a site";
            self.report(&key, false, leaf::not_yet(what, "write `never`, or leave out `placement.sites`"));
        }
        if service.endpoint.exposure == Exposure::Public && !service.placement.sites.is_empty() {
            let key = at.key("endpoint").key("exposure").pointer;
            let help = "nothing of ours ends TLS at a site: write `private`, or leave out `placement.sites`";
            self.report(&key, false, leaf::not_yet("`public` at a site", help));
        }
        let wan = at.key("survive").key("wan");
        if service.survive.wan == 0 {
            return;
        }
        let homes: Vec<(&Origin, &RegionRef)> =
            service.traffic.origins.iter().filter_map(|o| Some((o, o.site()?))).collect();
        if homes.is_empty() {
            self.report(
                &wan.pointer,
                true,
                Problem::new(
                    "useless-key",
                    "`survive.wan` without an origin at a site",
                    "nobody is cut off",
                    "write where its users are: `traffic.origins: { line: { at: sites.NAME } }`, or remove it",
                ),
            );
        }
        for (origin, home) in homes {
            if !service.placement.sites.contains(&home.region) {
                let message = format!(
                    "`survive.wan`: `{}` can only be served at `{}`, where the service may not be",
                    origin.name, home.region
                );
                self.report(
                    &wan.pointer,
                    true,
                    Problem::new(
                        "conflicting-keys",
                        message,
                        "cut off from everything else",
                        format!("add `{}` to `placement.sites`, or remove `wan`", home.region),
                    ),
                );
            }
        }
        if service.survive.region > 0 {
            self.report(
                &wan.pointer,
                true,
                Problem::new(
                    "conflicting-keys",
                    "`survive.wan` with `survive.region`: an origin at a site is served there alone, and a site is a region",
                    "one of the two",
                    "remove one of them",
                ),
            );
        }
    }
}
