//! `traffic` of a service.

use super::{Key, Kind, Names, ORIGIN};
use crate::spec::units::{Range, Unit};

/// What arrives, when and from where.
pub static TRAFFIC: &[Key] = &[
    Key::new(
        "peak",
        Kind::Quantity(Unit::Rate, Range::POSITIVE),
        "Requests per second in the busiest hour. One of `peak`, `concurrency`, `trace` is required.",
    ),
    Key::new(
        "concurrency",
        Kind::Quantity(Unit::Count, Range::POSITIVE),
        "Requests in flight in the busiest hour: that many clients, each of which waits for its answer.",
    ),
    Key::new(
        "trace",
        Kind::Path,
        "CSV of real requests with the columns `time`, `input_tokens`, `output_tokens`: gives the busiest hour's rate, lengths and burstiness that are not stated.",
    ),
    Key::new(
        "size_classes",
        Kind::Map { entry: "CLASS", names: Names::Loose, of: &Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE) },
        "With `profile`: the part of the requests that is of each of its size classes; parts sum to 100 %.",
    ),
    Key::new("input_tokens", Kind::Lengths, "Tokens of a prompt. Required without `use_case` or `trace`."),
    Key::new(
        "output_tokens",
        Kind::Lengths,
        "Tokens generated for a request. Required without `use_case` or `trace` for a model that writes text; leave it out for an embedding model.",
    )
    .default("0"),
    Key::new(
        "prefix_cached",
        Kind::Quantity(Unit::Percent, Range::PART),
        "Share of prompt tokens that the prefix cache already holds.",
    )
    .default("0%"),
    Key::new(
        "divide_at",
        Kind::List(&Kind::Whole { min: 1, max: 100_000_000, auto: false }),
        "Lengths of prompts, in tokens, ascending, three at most, at which the service may be divided into parts of their own, each with machines of its own, if the gateway can send a request by the length of its prompt; one of so many tokens is of the shorter class. It is divided where that costs less.",
    )
    .default("one part serves all"),
    Key::new("arrivals", Kind::Arrivals, "How requests are spread in time.").default("poisson"),
    Key::new(
        "origins",
        Kind::Map { entry: "ORIGIN", names: Names::Name, of: &Kind::Section(ORIGIN) },
        "Where requests come from; shares sum to 100 %.",
    )
    .default("next to the service, without network time"),
    Key::new(
        "daily",
        Kind::Daily,
        "Load of each hour of the day as a share of the peak: `office-hours` (by convention: 100% from 9 to 17, 60% an hour before and two after, 30% until 22, else 10%), or 24 shares from midnight, of which one is 100%. With `scaling.mode` `horizontal`, `vertical` or `hybrid` machines follow it.",
    )
    .default("the peak all day"),
    Key::new(
        "weekend",
        Kind::Weekend,
        "The same of Saturday and Sunday: a named profile, 24 shares of the peak, or one percentage, which is that part of `daily` in each hour. `daily` is then of Monday to Friday, and 100% may stand in either.",
    )
    .default("every day alike"),
    Key::new(
        "seasons",
        Kind::Map { entry: "SEASON", names: Names::Name, of: &Kind::Section(SEASON) },
        "Days of the year with another peak. A plan is for the season of its day (`--at`), and says until when it holds and what the coming ones cost.",
    )
    .default("the same peak all year"),
    Key::new(
        "time_zone",
        Kind::TimeZone,
        "Time zone of `daily` and `weekend`, by its IANA name: `Europe/Berlin`.",
    )
    .default("UTC"),
    Key::new(
        "sessions",
        Kind::Section(SESSIONS),
        "Load as conversations of several turns, in place of `peak`, `concurrency` and `prefix_cached`: a turn's prompt repeats what was said before, as far as the replica that answered still has it in its KV cache.",
    ),
];

static SEASON: &[Key] = &[
    Key::new(
        "from",
        Kind::SeasonDay,
        "Its first day, UTC: month and day of every year, or with the year for once.",
    )
    .required(),
    Key::new(
        "to",
        Kind::SeasonDay,
        "Its last day, UTC, which is part of it. Before `from` it is a day of the next year: `from: 12-20`, `to: 01-06`.",
    )
    .required(),
    Key::new(
        "peak",
        Kind::SeasonPeak,
        "How many times the usual load there is in it, `4x`, or a percentage of it, `40%`. The usual load is what `peak`, `concurrency`, `trace` or `sessions` says.",
    )
    .required(),
    Key::new(
        "lead",
        Kind::Lead,
        "How long before its first day plans are for it already, where its peak is the greater one: by then its machines must run.",
    )
    .default("3d"),
];

static SESSIONS: &[Key] = &[
    Key::new(
        "concurrent",
        Kind::Quantity(Unit::Count, Range::POSITIVE),
        "Conversations that go on at the same time in the busiest hour.",
    )
    .required(),
    Key::new(
        "turns",
        Kind::Whole { min: 1, max: 1000, auto: false },
        "Requests of a conversation. `input_tokens` is then what the user adds in a turn.",
    )
    .required(),
    Key::new(
        "think_time",
        Kind::Quantity(Unit::Duration, Range::NOT_NEGATIVE),
        "From an answer to the user's next turn, on average.",
    )
    .default("0s"),
];
