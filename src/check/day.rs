//! The week of a pool (decision 11), derived from the profile alone: which share of the peak it must carry when, and how much
//! of that arrives.

use rhumb_api::Money;

use crate::placement::{Following, Switch};
use crate::spec::{Daily, ScalingMode, Service};

/// The peak, in millionths of it.
pub(super) const PEAK: u32 = 1_000_000;
/// Seconds of a week.
pub(super) const WEEK: u32 = 604_800;
const HOUR: u32 = 3_600;

/// Seconds of the week in which a pool is ready for the same share of the peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// Millionths of the peak.
    pub share: u32,
    /// How many they are.
    pub seconds: u32,
    /// What arrives in them: the sum of their own shares, millionths of the peak times seconds.
    pub load: u64,
}

impl Class {
    /// The share as a fraction.
    pub fn part(&self) -> f64 {
        f64::from(self.share) / f64::from(PEAK)
    }

    /// What of an amount an hour, paid for a class's whole load, a week's hour pays on the average.
    pub fn responses(&self, hourly: Money) -> Money {
        rounded(
            i128::from(hourly.micros()) * i128::from(self.load),
            i128::from(self.share) * i128::from(WEEK),
        )
    }
}

/// A week, from the lowest class to the peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// Ascending by share; the last is the peak.
    pub classes: Vec<Class>,
    /// When another class begins, ascending.
    pub schedule: Vec<Switch>,
}

/// The profile that pools follow; `None` if they are always as large as the peak asks for.
pub(super) fn followed(service: &Service) -> Option<&Daily> {
    service.traffic.daily.as_ref().filter(|_| service.scaling.mode == ScalingMode::Horizontal)
}

impl Day {
    /// A week without an end of the peak.
    pub fn whole() -> Day {
        Day::at_peak(u64::from(PEAK) * u64::from(WEEK))
    }

    /// The week of a service's pool whose machines take `start_up_s` to start.
    pub fn of(service: &Service, start_up_s: u32) -> Day {
        match (&service.traffic.daily, followed(service)) {
            (_, Some(daily)) => Day::following(&hours(daily), start_up_s),
            (Some(daily), None) => {
                Day::at_peak(hours(daily).iter().map(|s| u64::from(*s) * u64::from(HOUR)).sum())
            }
            (None, None) => Day::whole(),
        }
    }

    fn at_peak(load: u64) -> Day {
        Day { classes: vec![Class { share: PEAK, seconds: WEEK, load }], schedule: Vec::new() }
    }

    /// Cut at every second at which an hour begins, and at which one begins `start_up_s` later: between two cuts neither the
    /// share of the second nor the hours that the machines must be ready for change. The cycle is as long as there are shares.
    fn following(shares: &[u32], start_up_s: u32) -> Day {
        let cycle = shares.len() as u32 * HOUR;
        let ahead = start_up_s.min(cycle);
        let hour = |second: u32| shares[(second / HOUR) as usize % shares.len()];
        let begins = (0..cycle).step_by(HOUR as usize);
        let mut cuts: Vec<u32> = begins.flat_map(|t| [t, (t + cycle - ahead) % cycle]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let ready = |second: u32| {
            let hours = second / HOUR..=(second + ahead) / HOUR;
            hours.map(|h| hour(h * HOUR)).max().unwrap_or(PEAK)
        };
        let ends = cuts.iter().skip(1).copied().chain([cycle]);
        let pieces: Vec<(u32, u32, u32)> =
            cuts.iter().zip(ends).map(|(t, end)| (*t, end - t, ready(*t))).collect();
        let mut occur: Vec<u32> = pieces.iter().map(|(_, _, share)| *share).collect();
        occur.sort_unstable();
        occur.dedup();
        let class = |share: &u32| {
            let own = pieces.iter().filter(|(_, _, ready)| ready == share);
            own.fold(Class { share: *share, seconds: 0, load: 0 }, |sum, (at, long, _)| Class {
                seconds: sum.seconds + long,
                load: sum.load + u64::from(hour(*at)) * u64::from(*long),
                ..sum
            })
        };
        let before = pieces.iter().skip(pieces.len() - 1).chain(&pieces);
        let switches = before.zip(&pieces).filter(|((_, _, before), (_, _, now))| before != now);
        let index = |share: u32| occur.iter().position(|s| *s == share).unwrap_or(0);
        Day {
            classes: occur.iter().map(class).collect(),
            schedule: switches
                .map(|(_, (at_s, _, now))| Switch { at_s: *at_s, class: index(*now) })
                .collect(),
        }
    }
}

/// The shares of a week's hours, from Monday's midnight on.
fn hours(daily: &Daily) -> Vec<u32> {
    let weekend = daily.weekend.unwrap_or(daily.shares);
    [daily.shares; 5].into_iter().chain([weekend; 2]).flatten().collect()
}

/// Of how many equal parts of a week a plan tells one.
pub(super) fn repeats(daily: &Daily) -> u32 {
    if daily.weekend.is_none() { 7 } else { 1 }
}

/// Whether nothing runs in a class.
pub(super) fn rests(service: &Service, class: &Class) -> bool {
    service.scaling.to_zero && class.share == 0 && followed(service).is_some()
}

/// Times a week that what is said of a pool's hours is repeated: their seconds say how long the part is.
pub(super) fn times_a_week(said: &Following) -> u32 {
    let told: u64 = said.classes.iter().map(|class| u64::from(class.seconds)).sum();
    if told > u64::from(WEEK / 7) { 1 } else { 7 }
}

/// A start-up time in whole seconds, rounded up.
pub(super) fn whole_seconds(start_up_s: f64) -> u32 {
    start_up_s.ceil().max(0.0) as u32
}

/// What machines cost an hour on the average: `machine_seconds` of a week of them at `price`.
pub(super) fn averaged(price: Money, machine_seconds: u64) -> Money {
    rounded(i128::from(price.micros()) * i128::from(machine_seconds), i128::from(WEEK))
}

/// A quotient in micro-dollars, half up; nothing of nothing.
fn rounded(amount: i128, of: i128) -> Money {
    let micros = if of > 0 { (2 * amount + of).div_euclid(2 * of) } else { 0 };
    Money::from_micros(micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u32 = 86_400;

    /// A low hour by default, and others by hour and percent.
    fn shares(low: u32, others: &[(usize, u32)]) -> [u32; 24] {
        let mut shares = [low * 10_000; 24];
        for (hour, percent) in others {
            shares[*hour] = percent * 10_000;
        }
        shares
    }

    /// Percent and seconds of each class; second and class of each switch.
    type Told = (Vec<(u32, u32)>, Vec<(u32, usize)>);

    fn told(day: &Day) -> Told {
        (
            day.classes.iter().map(|c| (c.share / 10_000, c.seconds)).collect(),
            day.schedule.iter().map(|s| (s.at_s, s.class)).collect(),
        )
    }

    /// As the decision says it, second by second.
    fn slow(shares: &[u32], ahead: u32) -> Day {
        let cycle = shares.len() as u32 * HOUR;
        let share = |t: u32| shares[(t / HOUR) as usize % shares.len()];
        // A share is that of an hour: whoever looks once an hour, and at the end, has seen every second ahead.
        let seen = |t: u32| (t..=t + ahead).step_by(HOUR as usize).chain([t + ahead]);
        let ready: Vec<u32> = (0..cycle).map(|t| seen(t).map(share).max().unwrap()).collect();
        let mut occur = ready.clone();
        occur.sort_unstable();
        occur.dedup();
        let class = |c: &u32| {
            let own: Vec<u32> = (0..cycle).filter(|t| ready[*t as usize] == *c).collect();
            let load = own.iter().map(|t| u64::from(share(*t))).sum();
            Class { share: *c, seconds: own.len() as u32, load }
        };
        let changes = (0..cycle).filter(|t| ready[((t + cycle - 1) % cycle) as usize] != ready[*t as usize]);
        let class_at = |t: u32| occur.iter().position(|c| *c == ready[t as usize]).unwrap();
        Day {
            schedule: changes.map(|at_s| Switch { at_s, class: class_at(at_s) }).collect(),
            classes: occur.iter().map(class).collect(),
        }
    }

    /// One hour at the peak, from 9 to 10, the others at 20 %.
    #[test]
    fn machines_are_there_when_the_peak_begins() {
        let one = shares(20, &[(9, 100)]);
        let at = |ahead| told(&Day::following(&one, ahead));
        assert_eq!(at(0), (vec![(20, 82_800), (100, 3_600)], vec![(32_400, 1), (36_000, 0)]));
        assert_eq!(at(90), (vec![(20, 82_710), (100, 3_690)], vec![(32_310, 1), (36_000, 0)]));
        assert_eq!(at(3_600), (vec![(20, 79_200), (100, 7_200)], vec![(28_800, 1), (36_000, 0)]));
        assert_eq!(at(5_400), (vec![(20, 77_400), (100, 9_000)], vec![(27_000, 1), (36_000, 0)]));
        // 23 hours ahead the low class lasts no second.
        assert_eq!(at(82_799).0, vec![(20, 1), (100, 86_399)]);
        assert_eq!(at(82_800), (vec![(100, 86_400)], vec![]));
        assert_eq!(at(u32::MAX), (vec![(100, 86_400)], vec![]));
    }

    #[test]
    fn before_midnight_comes_after_it() {
        let first = shares(20, &[(0, 100)]);
        assert_eq!(
            told(&Day::following(&first, 90)),
            (vec![(20, 82_710), (100, 3_690)], vec![(3_600, 0), (86_310, 1)])
        );
    }

    /// An hour of 50 % between two peaks, 10 to 11: with a start of an hour or more nothing stops in it, and the class is gone.
    #[test]
    fn a_dip_shorter_than_a_start_is_none() {
        let two = shares(20, &[(9, 100), (10, 50), (11, 100)]);
        let at = |ahead| told(&Day::following(&two, ahead));
        assert_eq!(at(90).0, vec![(20, 75_510), (50, 3_510), (100, 7_380)]);
        assert_eq!(at(90).1, vec![(32_310, 2), (36_000, 1), (39_510, 2), (43_200, 0)]);
        assert_eq!(at(3_599).0, vec![(20, 72_001), (50, 1), (100, 14_398)]);
        assert_eq!(at(3_600), (vec![(20, 72_000), (100, 14_400)], vec![(28_800, 1), (43_200, 0)]));
        assert_eq!(at(5_400), (vec![(20, 70_200), (100, 16_200)], vec![(27_000, 1), (43_200, 0)]));
    }

    #[test]
    fn a_day_without_change_has_one_class_and_no_schedule() {
        for ahead in [0, 90, 5_400] {
            assert_eq!(told(&Day::following(&[PEAK; 24], ahead)), (vec![(100, 86_400)], vec![]));
        }
    }

    /// One hour of the peak and 23 of 20 %, ready 90 s early: 90 s of the peak's class see 20 % of it.
    #[test]
    fn what_arrives_in_a_class_is_less_than_what_it_could_carry() {
        let day = Day::following(&shares(20, &[(9, 100)]), 90);
        assert_eq!(day.classes[0].load, 82_710 * 200_000);
        assert_eq!(day.classes[1].load, 3_600 * 1_000_000 + 90 * 200_000);
        // 7 x 3,618 of 604,800 s of 48 dollars: 2.01 dollars; a class without load pays nothing.
        let week =
            Class { seconds: 7 * day.classes[1].seconds, load: 7 * day.classes[1].load, ..day.classes[1] };
        assert_eq!(week.responses(Money::from_micros(48_000_000)), Money::from_micros(2_010_000));
        assert_eq!(Class { share: 0, seconds: 9, load: 0 }.responses(Money::from_micros(1)), Money::ZERO);
    }

    #[test]
    fn amounts_are_rounded_half_up() {
        let micro = |n| Money::from_micros(n);
        assert_eq!(averaged(micro(1), 302_400), micro(1), "a half");
        assert_eq!(averaged(micro(1), 302_399), micro(0), "less than a half");
        assert_eq!(averaged(micro(12_290_000), 3 * 604_800), micro(36_870_000), "three machines all week");
        // Every day 3 machines for 3,690 s and one for the others, at 10 dollars: (11,070 + 82,710) / 8,640.
        assert_eq!(averaged(micro(10_000_000), 7 * (3 * 3_690 + 82_710)), micro(10_854_167));
    }

    #[test]
    fn cuts_agree_with_every_second() {
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for ahead in [0, 1, 90, 3_599, 3_600, 5_401] {
            let mut profile = [0; 24];
            for share in &mut profile {
                *share = 100_000 * next(11) as u32;
            }
            assert_eq!(Day::following(&profile, ahead), slow(&profile, ahead), "{profile:?} {ahead}");
        }
    }

    /// A weekend of 20 %, working days of 100 % from 9 to 10 and at midnight: machines for Monday's midnight start on Sunday.
    #[test]
    fn a_week_goes_on_after_sunday() {
        let daily = Daily {
            name: None,
            shares: shares(40, &[(0, 100), (9, 100)]),
            weekend: Some([200_000; 24]),
            time_zone: "UTC".into(),
            at: Default::default(),
        };
        let week = Day::following(&hours(&daily), 90);
        // Five days with two hours at the peak, each 90 s early; the first of them is Sunday's.
        let (weekend, working) = (2 * DAY - 90, 5 * (DAY - 2 * 3_600) - 9 * 90);
        assert_eq!(
            week.classes.iter().map(|c| (c.share / 10_000, c.seconds)).collect::<Vec<_>>(),
            vec![(20, weekend), (40, working), (100, 10 * 3_690)]
        );
        assert_eq!(week.classes[2].load, 10 * 3_600 * 1_000_000 + 90 * 200_000 + 9 * 90 * 400_000);
        let last = week.schedule.last().unwrap();
        assert_eq!((last.at_s, last.class), (7 * DAY - 90, 2));
        // Friday's last class ends with Friday: no switch to the weekend comes early.
        assert!(week.schedule.iter().any(|s| (s.at_s, s.class) == (5 * DAY, 0)));
        assert_eq!(Day::following(&hours(&daily), 5_401), slow(&hours(&daily), 5_401));
    }

    #[test]
    fn seven_equal_days_are_a_day_seven_times() {
        let mut state = 11_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for ahead in [0, 1, 90, 3_599, 3_600, 5_401, 40_000, 90_000] {
            let profile: [u32; 24] = std::array::from_fn(|_| 100_000 * next(11) as u32);
            let daily = Daily {
                name: None,
                shares: profile,
                weekend: None,
                time_zone: "UTC".into(),
                at: Default::default(),
            };
            let (day, week) = (Day::following(&profile, ahead), Day::following(&hours(&daily), ahead));
            let times = |c: &Class| Class { share: c.share, seconds: 7 * c.seconds, load: 7 * c.load };
            assert_eq!(
                day.classes.iter().map(times).collect::<Vec<_>>(),
                week.classes,
                "{profile:?} {ahead}"
            );
            let days = (0..7).flat_map(|d| day.schedule.iter().map(move |s| (s.at_s + d * DAY, s.class)));
            assert!(days.eq(week.schedule.iter().map(|s| (s.at_s, s.class))), "{profile:?} {ahead}");
        }
    }
}
