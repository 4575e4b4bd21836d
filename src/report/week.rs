//! Times of a week in words.

/// Names of the days from Monday on.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_S: u32 = 86_400;

/// `07:56`, local time; with seconds where there are any.
pub(super) fn clock(at_s: u32) -> String {
    let (h, m, s) = (at_s / 3600, at_s / 60 % 60, at_s % 60);
    if s == 0 { format!("{h:02}:{m:02}") } else { format!("{h:02}:{m:02}:{s:02}") }
}

/// `Mon 07:56`: seconds after Monday's midnight.
pub(super) fn day_and_clock(at_s: u32) -> String {
    format!("{} {}", DAYS[(at_s / DAY_S) as usize % 7], clock(at_s % DAY_S))
}

/// `Mon-Fri`, `Mon, Wed`: days by index, ascending.
fn days(of: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for day in of {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *day => *last = *day,
            _ => runs.push((*day, *day)),
        }
    }
    let name = |day: u32| DAYS[day as usize % 7];
    let run = |(first, last): &(u32, u32)| match last - first {
        0 => name(*first).to_owned(),
        _ => format!("{}-{}", name(*first), name(*last)),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

/// Spans of a week from one second to another, those at the same time of several days together.
pub(super) fn spans(of: &[(u32, u32)]) -> String {
    // Start and end on the clock, days between them, and on which days they start.
    let mut together: Vec<((u32, u32, u32), Vec<u32>)> = Vec::new();
    for (from, to) in of {
        let (day, until) = (from / DAY_S, to / DAY_S);
        // What ends at midnight ends with the day before.
        let (until, end) = if to % DAY_S == 0 { (until + 6, DAY_S) } else { (until, to % DAY_S) };
        let key = (from % DAY_S, end, (until + 7 - day) % 7);
        match together.iter_mut().find(|(known, days)| *known == key && key.2 <= 1 && !days.contains(&day)) {
            Some((_, days)) => days.push(day),
            None => together.push((key, vec![day])),
        }
    }
    let word = |((from, to, later), on): &((u32, u32, u32), Vec<u32>)| {
        let mut on = on.clone();
        on.sort_unstable();
        let start = format!("{} {} to ", days(&on), clock(*from));
        match (later, on.len()) {
            (0, _) => format!("{start}{}", clock(*to)),
            (_, 1) => format!("{start}{} {}", days(&[(on[0] + later) % 7]), clock(*to)),
            _ => format!("{start}{} on the next day", clock(*to)),
        }
    };
    together.iter().map(word).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_a_week_are_told_together() {
        let at = |day: u32, h: u32, m: u32| day * DAY_S + h * 3600 + m * 60;
        assert_eq!(day_and_clock(at(6, 23, 58) + 30), "Sun 23:58:30");
        let working: Vec<(u32, u32)> = (0..5).map(|day| (at(day, 8, 30), at(day, 17, 0))).collect();
        assert_eq!(spans(&working), "Mon-Fri 08:30 to 17:00");
        // Nights, and the weekend from Friday's evening on.
        let mut nights: Vec<(u32, u32)> = (0..4).map(|day| (at(day, 17, 0), at(day + 1, 8, 30))).collect();
        nights.push((at(4, 17, 0), at(0, 8, 30)));
        assert_eq!(spans(&nights), "Mon-Thu 17:00 to 08:30 on the next day; Fri 17:00 to Mon 08:30");
        assert_eq!(spans(&[(at(5, 0, 0), at(0, 0, 0))]), "Sat 00:00 to Sun 24:00");
        assert_eq!(
            spans(&[(at(1, 0, 0), at(2, 0, 0)), (at(3, 0, 0), at(4, 0, 0))]),
            "Tue, Thu 00:00 to 24:00"
        );
    }
}
