//! `services` and `batches`.

use std::collections::BTreeMap;

use super::rules::jurisdictions;
use super::*;
use crate::spec::use_case::{Priority, UseCase};

const NOTHING: Lengths = Lengths { mean: 0.0, cv2: 0.0, p95: 0.0, max: 0.0 };

fn fixed(tokens: f64) -> Lengths {
    Lengths { mean: tokens, cv2: 0.0, p95: tokens, max: tokens }
}

impl Reader<'_> {
    /// `services.NAME`.
    pub(super) fn service(
        &mut self,
        name: &str,
        at: &At<'_>,
        shared: &BTreeMap<String, String>,
    ) -> Option<Service> {
        at.value?.as_object()?;
        self.only_with_a_profile(at);
        let items = at.key("model").word().is_some_and(|model| self.measured.contains(model));
        let use_case = at.key("use_case").word().and_then(use_case::find).filter(|_| !items);
        let priority = at.key("priority");
        if priority.is_there() && !at.key("use_case").is_there() {
            self.report(
                &priority.pointer,
                true,
                Problem::new(
                    "useless-key",
                    "`priority` has no meaning without `use_case`",
                    "changes nothing here",
                    "name a `use_case`, or remove `priority` and state the objectives",
                ),
            );
        }
        let priority = priority.word().and_then(Priority::parse).unwrap_or(Priority::Balanced);
        if items {
            self.of_items(at);
        }
        let traffic = self.traffic(&at.key("traffic"), use_case.as_ref(), items);
        let kind = (items, self.chained.contains(name));
        let slo = self.slo(at, use_case.as_ref(), priority, traffic.output.mean, kind);
        let placement = self.placement(&at.key("placement"));
        let engine = if items { Engine::own(&at.pointer) } else { self.engine(&at.key("engine")) };
        self.context_fits(at, &engine, &traffic.input, &traffic.output);
        self.engine_can(at, &engine);
        let survive = at.key("survive");
        let count = |key: &str| survive.key(key).whole().unwrap_or(0);
        let during = at.key("during_failure");
        let purchase = self.purchase(&at.key("purchase"));
        if purchase.spot_max_share == 0.0 {
            self.something_may_fail(at);
        }
        Some(Service {
            name: name.to_owned(),
            model: at.key("model").text()?,
            labels: self.merged_labels(at, shared),
            use_case: use_case.map(|u| u.name.to_owned()),
            traffic,
            slo,
            survive: Survive {
                replica: count("replica"),
                machine: count("machine"),
                zone: count("zone"),
                region: count("region"),
                wan: count("wan"),
            },
            during_failure: DuringFailure {
                capacity: during
                    .key("capacity")
                    .quantity(Unit::Percent, Range::POSITIVE_SHARE)
                    .unwrap_or(1.0),
                slo_factor: during.key("slo").get(shape::relax).unwrap_or(1.0),
            },
            degrade: self.degrade(at),
            placement,
            purchase,
            scaling: self.scaling(&at.key("scaling")),
            engine,
            endpoint: self.endpoint(&at.key("endpoint")),
            shares: at.key("share_machines").word() == Some("within-deployment"),
            part_of: None,
            at: at.pointer.clone(),
        })
    }

    /// What holds in a failure has no meaning where none is declared, nor a spot machine can be taken away.
    pub(super) fn something_may_fail(&mut self, at: &At<'_>) {
        let during = at.key("during_failure");
        if during.is_there() && !at.key("survive").is_there() && !self.is_copied(&during.pointer) {
            let what = "`during_failure` has no meaning without `survive`: no failure is planned for";
            let fix = "say what may fail, `survive: { machine: 1 }`, or remove it";
            self.report(
                &during.pointer,
                true,
                Problem::new("useless-key", what, "changes nothing here", fix),
            );
        }
    }

    /// `traffic`; of a measured model a request is an item, which counts as one token.
    fn traffic(&mut self, at: &At<'_>, use_case: Option<&UseCase>, items: bool) -> Traffic {
        let (peak, concurrency, trace) = (at.key("peak"), at.key("concurrency"), at.key("trace"));
        let sessions = at.key("sessions");
        for other in [&peak, &concurrency, &trace, &at.key("prefix_cached"), &at.key("arrivals")] {
            if sessions.is_there() && other.is_there() {
                self.report(
                    &other.pointer,
                    true,
                    Problem::new(
                        "conflicting-keys",
                        format!("`{}` says what follows from `sessions`", other.pointer.dotted()),
                        "one of the two",
                        "with `sessions` the rate follows from their number, the think time and the answers, the share in the prefix cache from what the caches hold",
                    ),
                );
            }
        }
        let stated: Vec<&At<'_>> = [&peak, &concurrency].into_iter().filter(|a| a.is_there()).collect();
        if let [_, second] = stated.as_slice() {
            self.report(
                &second.pointer,
                true,
                Problem::new(
                    "conflicting-keys",
                    "`peak` and `concurrency` are two ways to say the same",
                    "one of the two",
                    "keep `peak` for requests that arrive whatever happens, `concurrency` for clients that wait for their answers",
                ),
            );
        } else if stated.is_empty() && !trace.is_there() && !sessions.is_there() && at.is_there() {
            self.report(
                &at.pointer,
                true,
                Problem::new(
                    "missing-key",
                    format!("`{}` needs a load", at.pointer.dotted()),
                    "how much arrives?",
                    "add `peak: 12 req/s`, `concurrency: 200` or `trace: ./requests.csv`",
                ),
            );
        }
        let file = trace.get(leaf::path).map(|path| FileRef { path, at: trace.pointer.clone() });
        let recorded = file.as_ref().and_then(|file| match self.recorded(file) {
            Ok(recorded) => Some(recorded),
            Err(problem) => {
                self.report(&file.at, false, problem);
                None
            }
        });
        let load = if let Some(rate) = peak.quantity(Unit::Rate, Range::POSITIVE) {
            Load::Rate(rate)
        } else if let Some(clients) = concurrency
            .quantity(Unit::Count, Range::POSITIVE)
            .or_else(|| sessions.key("concurrent").quantity(Unit::Count, Range::POSITIVE))
        {
            Load::Concurrency(clients)
        } else {
            Load::Rate(recorded.as_ref().map_or(1.0, |r| r.rate))
        };
        let input = at.key("input_tokens");
        let known = input
            .get(|v| shape::lengths(false, v))
            .filter(|_| !items)
            .or(items.then(|| fixed(1.0)))
            .or(recorded.as_ref().map(|r| r.input))
            .or(use_case.map(|u| fixed(u.tokens.0)));
        if known.is_none() && !input.is_there() && !trace.is_there() && at.is_there() {
            self.report(
                &at.pointer,
                true,
                Problem::new(
                    "missing-key",
                    format!("`{}` needs the key `input_tokens`", at.pointer.dotted()),
                    "how long are prompts?",
                    "add `input_tokens: { p50: 600, p95: 2800 }`, or name a `use_case`",
                ),
            );
        } else if known.is_none() && input.get(|v| shape::lengths(true, v)).is_some() {
            self.report(
                &input.pointer,
                false,
                Problem::new(
                    "out-of-range",
                    "a prompt has at least one token",
                    "must be more than 0",
                    "write how long prompts are",
                ),
            );
        }
        let output = at
            .key("output_tokens")
            .get(|v| shape::lengths(true, v))
            .or(items.then_some(NOTHING))
            .or(recorded.as_ref().map(|r| r.output))
            .or(use_case.map(|u| fixed(u.tokens.1)))
            .unwrap_or(NOTHING);
        let arrivals = at.key("arrivals").get(shape::arrivals).or(recorded.as_ref().map(|r| r.arrivals));
        let added = known.unwrap_or(fixed(1.0));
        let sessions = sessions.is_there().then(|| Sessions {
            turns: sessions.key("turns").whole().unwrap_or(1),
            think_s: sessions
                .key("think_time")
                .quantity(Unit::Duration, Range::NOT_NEGATIVE)
                .map_or(0.0, |ms| ms / 1e3),
            added,
        });
        let prompt = sessions.map_or(added, |s| s.prompt(&output));
        let typed = at.key("prefix_cached").quantity(Unit::Percent, Range::PART).unwrap_or(0.0);
        Traffic {
            usual: load.clone(),
            load,
            seasons: self.seasons(&at.key("seasons")),
            trace: file,
            recorded: recorded.map(|r| r.requests.into()),
            input: prompt,
            output,
            prefix_cached: sessions.map_or(typed, |s| (1.0 - s.added.mean / prompt.mean).max(0.0)),
            sessions,
            arrivals: arrivals.unwrap_or(Arrivals::Poisson),
            daily: self.daily(at),
            divide_at: self.divide_at(at),
            origins: self.origins(&at.key("origins"), &at.pointer),
            at: at.pointer.clone(),
        }
    }

    fn recorded(&self, file: &FileRef) -> Result<trace::Recorded, Problem> {
        let bytes = (self.read)(&file.path).map_err(|error| {
            Problem::new(
                "cannot-read",
                format!("`{}` cannot be read: {error}", file.path),
                "cannot be read",
                "the path is relative to the spec's folder",
            )
        })?;
        trace::read(&file.path, &bytes)
    }

    fn origins(&mut self, at: &At<'_>, traffic: &Pointer) -> Vec<Origin> {
        let entries = at.entries();
        let alone = entries.len() == 1;
        let mut origins = Vec::new();
        let mut readable = true;
        for (name, origin) in &entries {
            let share = origin.key("share");
            if !share.is_there() && !alone && origin.value.is_some_and(Value::is_object) {
                self.report(
                    &origin.pointer,
                    true,
                    Problem::new(
                        "missing-key",
                        format!("`{}` needs the key `share`", origin.pointer.dotted()),
                        "which share of the requests?",
                        "add `share: 40%`; the shares of a service sum to 100 %",
                    ),
                );
            }
            let portion = match share.is_there() {
                true => share.quantity(Unit::Percent, Range::POSITIVE_SHARE),
                false => alone.then_some(1.0),
            };
            let place = origin.key("at").get(|v| leaf::place(self.vocabulary, v));
            readable &= portion.is_some();
            origins.push(Origin {
                name: (*name).to_owned(),
                place: place.unwrap_or(Place::Vpc),
                share: portion.unwrap_or(0.0),
                residency: jurisdictions(&origin.key("residency"), self.vocabulary),
                at: origin.pointer.clone(),
            });
        }
        let sum: f64 = origins.iter().map(|o| o.share).sum();
        if readable && !origins.is_empty() && (sum - 1.0).abs() > 1e-6 {
            let off = Unit::Percent.format(crate::math::round_to((1.0 - sum).abs(), 9));
            self.report(
                &at.pointer,
                true,
                Problem::new(
                    "shares-do-not-sum",
                    format!("the shares sum to {}, not 100%", Unit::Percent.format(sum)),
                    "shares of this service",
                    if sum < 1.0 {
                        format!("{off} are missing: raise a share, or add an origin")
                    } else {
                        format!("{off} are too much: lower a share")
                    },
                ),
            );
        }
        if origins.is_empty() {
            origins.push(Origin {
                name: "any".to_owned(),
                place: Place::Vpc,
                share: 1.0,
                residency: Vec::new(),
                at: traffic.clone(),
            });
        }
        origins
    }

    fn slo(
        &mut self,
        service: &At<'_>,
        use_case: Option<&UseCase>,
        priority: Priority,
        output: f64,
        (items, chained): (bool, bool),
    ) -> Slo {
        let at = service.key("slo");
        let template = |range: Option<(f64, f64)>| -> Vec<Objective> {
            let limit = range.map(|range| priority.within(range));
            let at = service.key("use_case").pointer;
            limit.map(|limit_ms| Objective { quantile: Some(0.95), limit_ms, at }).into_iter().collect()
        };
        let mut objectives = |key: &str, range: Option<(f64, f64)>| -> Vec<Objective> {
            let stated = at.key(key);
            if !stated.is_there() {
                return template(range);
            }
            let mut list: Vec<Objective> = stated
                .entries()
                .into_iter()
                .filter_map(|(name, limit)| {
                    Some(Objective {
                        quantile: shape::quantile(name).ok()?,
                        limit_ms: limit.quantity(Unit::Duration, Range::POSITIVE)?,
                        at: limit.pointer,
                    })
                })
                .collect();
            list.sort_by(|a, b| a.quantile.unwrap_or(0.0).total_cmp(&b.quantile.unwrap_or(0.0)));
            for pair in list.windows(2) {
                let (low, high) = (&pair[0], &pair[1]);
                if low.quantile.is_some() && high.limit_ms < low.limit_ms {
                    self.report(
                        &high.at,
                        false,
                        Problem::new(
                            "percentiles-out-of-order",
                            format!("a higher percentile of `{key}` has a lower limit"),
                            format!("below {}", Unit::Duration.format(low.limit_ms)),
                            "a limit that always follows from another is a slip: correct one, or remove the weaker",
                        ),
                    );
                }
            }
            list
        };
        // An embedding model has no output tokens, so that only the time to its one answer counts.
        let generates = output > 0.0;
        let mut of_tokens = |key: &str, range| if items { Vec::new() } else { objectives(key, range) };
        let ttft = of_tokens("ttft", use_case.map(|u| u.ttft_ms));
        let tpot = of_tokens("tpot", use_case.filter(|_| generates).map(|u| u.tpot_ms));
        // What a service of a chain may take in all follows from that.
        let e2e = objectives("e2e", use_case.filter(|_| !chained).map(|u| u.e2e_ms));
        // What defaults say of tokens is nothing that a service of items states.
        let of_others = |key: &At<'_>| items && self.is_copied(&key.pointer);
        let stated = ["ttft", "tpot", "e2e"].iter().any(|k| {
            let key = at.key(k);
            key.is_there() && (*k == "e2e" || !of_others(&key))
        });
        let template = service.key("use_case");
        if !stated && !chained && use_case.is_none() && (of_others(&template) || !template.is_there()) {
            self.report(
                if at.is_there() { &at.pointer } else { &service.pointer },
                true,
                Problem::new(
                    "missing-key",
                    format!("`{}` has no objective", service.pointer.dotted()),
                    "how fast must it be?",
                    if items {
                        "add `slo: { e2e: { p99: 80ms } }`"
                    } else {
                        "add `slo: { ttft: { p95: 500ms }, tpot: { p95: 40ms } }`, or name a `use_case`"
                    },
                ),
            );
        }
        if !generates && !items && at.key("tpot").is_there() {
            self.report(
                &at.key("tpot").pointer,
                true,
                Problem::new(
                    "useless-key",
                    "`tpot` has no meaning without output tokens",
                    "changes nothing here",
                    "add `traffic.output_tokens`, or remove `tpot` for an embedding model",
                ),
            );
        }
        Slo {
            ttft,
            tpot,
            e2e,
            measured_at: match at.key("measured_at").word() {
                Some("gateway") => MeasuredAt::Gateway,
                Some("engine") => MeasuredAt::Engine,
                _ => MeasuredAt::Client,
            },
            last_mile_ms: at.key("last_mile").quantity(Unit::Duration, Range::NOT_NEGATIVE).unwrap_or(0.0),
            connections: match at.key("connections").word() {
                Some("new") => Connections::New,
                _ => Connections::Warm,
            },
            at: at.pointer.clone(),
        }
    }

    pub(super) fn scaling(&mut self, at: &At<'_>) -> Scaling {
        let (min, max) = (at.key("min_replicas").whole(), at.key("max_replicas").whole());
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.report(
                &at.key("max_replicas").pointer,
                false,
                Problem::new(
                    "conflicting-keys",
                    format!("`max_replicas` {max} is below `min_replicas` {min}"),
                    "below the minimum",
                    "raise it, or lower `min_replicas`",
                ),
            );
        }
        let word = at.key("mode").word();
        let mode = match word {
            Some("horizontal" | "vertical" | "hybrid") => ScalingMode::Horizontal,
            _ => ScalingMode::Fixed,
        };
        let changes = matches!(word, Some("vertical" | "hybrid")).then(|| at.key("mode").pointer);
        let to_zero = at.key("scale_to_zero").get(leaf::boolean).unwrap_or(false);
        let min_replicas = min.unwrap_or(1);
        let max_replicas = match word {
            // The number stays as it is, what it runs on changes.
            Some("vertical") => Some(min_replicas),
            _ => max,
        };
        if word == Some("vertical")
            && let Some(max) = max.filter(|max| *max != min_replicas)
        {
            let what = format!("`vertical` with `max_replicas` {max}");
            let why = format!("it has {min_replicas} in every hour, as `min_replicas` says");
            let fix = format!("{why}: remove `max_replicas`, or write `hybrid`");
            let problem = Problem::new("conflicting-keys", what, "the number does not change", fix);
            self.report(&at.key("max_replicas").pointer, false, problem);
        }
        Scaling { mode, min_replicas, max_replicas, to_zero, changes, vertical: word == Some("vertical") }
    }

    pub(super) fn endpoint(&mut self, at: &At<'_>) -> Endpoint {
        let public = at.key("exposure").word() == Some("public");
        let missing: Vec<&str> =
            ["tls_certificate", "api_keys"].into_iter().filter(|k| !at.key(k).is_there()).collect();
        if public && !missing.is_empty() {
            let names = missing.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(" and ");
            self.report(
                &at.key("exposure").pointer,
                false,
                Problem::new(
                    "missing-key",
                    format!("a public endpoint needs {names}"),
                    "from the internet only with TLS and keys",
                    "add references such as `tls_certificate: aws-acm:arn:...` and `api_keys: env:API_KEYS`, or write `private`",
                ),
            );
        }
        Endpoint {
            exposure: if public { Exposure::Public } else { Exposure::Private },
            tls_certificate: at.key("tls_certificate").get(leaf::secret),
            api_keys: at.key("api_keys").get(leaf::secret),
            prevent_destroy: at.key("prevent_destroy").get(leaf::boolean).unwrap_or(false),
            at: at.pointer.clone(),
        }
    }

    /// `batches.NAME`.
    pub(super) fn batch(
        &mut self,
        name: &str,
        at: &At<'_>,
        shared: &BTreeMap<String, String>,
    ) -> Option<Batch> {
        at.value?.as_object()?;
        let measured = at.key("model").word().is_some_and(|model| self.measured.contains(model));
        let (tokens, answers) = (at.key("input_tokens"), at.key("output_tokens"));
        if measured {
            self.has_no_tokens(&[
                (tokens, "an item has no tokens", "remove it: `items` says how many there are"),
                (answers, "an item has no tokens", "remove it: `items` says how many there are"),
                (at.key("engine"), "a measured model is served by its own image", "remove it"),
            ]);
        } else if !tokens.is_there() {
            self.missing(at, "input_tokens", "the tokens of an item, `350`");
        }
        let one = fixed(1.0);
        let lengths = at.key("input_tokens").get(|v| shape::lengths(true, v));
        let input = lengths.filter(|_| !measured).unwrap_or(one);
        if input.mean <= 0.0 {
            self.report(
                &at.key("input_tokens").pointer,
                false,
                Problem::new(
                    "out-of-range",
                    "an item has at least one token",
                    "must be more than 0",
                    "write how long items are",
                ),
            );
        }
        let output = at.key("output_tokens").get(|v| shape::lengths(true, v));
        let output = output.filter(|_| !measured).unwrap_or(NOTHING);
        let engine = if measured { Engine::own(&at.pointer) } else { self.engine(&at.key("engine")) };
        self.context_fits(at, &engine, &input, &output);
        self.engine_can(at, &engine);
        let after = self.after(at, &format!("batches.{name}"));
        let placement = self.placement(&at.key("placement"));
        self.in_one_region(at, &placement);
        Some(Batch {
            name: name.to_owned(),
            model: at.key("model").text()?,
            labels: self.merged_labels(at, shared),
            items: self.whole_items(&at.key("items")),
            input,
            output,
            schedule: at.key("schedule").get(cron::parse),
            deadline_s: at.key("deadline").quantity(Unit::Duration, Range::POSITIVE).unwrap_or(1.0) / 1e3,
            placement,
            purchase: self.purchase(&at.key("purchase")),
            engine,
            after,
            at: at.pointer.clone(),
        })
    }

    /// How many items a run has; a part of one is none.
    fn whole_items(&mut self, at: &At<'_>) -> f64 {
        let items = at.quantity(Unit::Count, Range::POSITIVE).unwrap_or(1.0);
        if items.fract() != 0.0 {
            self.report(
                &at.pointer,
                false,
                Problem::new(
                    "out-of-range",
                    format!("`{items}` items: a part of an item is none"),
                    "must be a whole number",
                    "write how many items a run has",
                ),
            );
        }
        items
    }
}
