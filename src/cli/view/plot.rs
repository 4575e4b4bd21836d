//! Curves in a terminal: braille dots in colour, or one character for each curve where there is no colour.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::cli::Settings;
use crate::math;

/// A curve: its points are joined in their order by straight lines.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// What the legend calls it.
    pub name: &'a str,
    /// `(x, y)`; points that are not finite, or not above zero on a logarithmic axis, are left out.
    pub points: &'a [(f64, f64)],
    /// Drawn faint and under the others: the edge of an interval, or a limit.
    pub faint: bool,
}

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// Name and unit.
    pub name: &'a str,
    /// Logarithmic.
    pub log: bool,
}

/// Rows of a plot without its axes and legend.
const HEIGHT: usize = 12;
/// Widest plot, columns; wider ones are harder to read, not finer.
const WIDEST: usize = 100;

const MARKS: [char; 6] = ['*', 'o', '+', 'x', '#', '@'];
const COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Magenta,
    AnsiColor::Green,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// The bits of a braille cell by row and column of its dots (Unicode chapter 21.1).
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

impl Axis<'_> {
    fn takes(&self, v: f64) -> bool {
        v.is_finite() && (!self.log || v > 0.0)
    }

    fn scale(&self, v: f64) -> f64 {
        if self.log { math::ln(v) } else { v }
    }

    /// Round values between `lo` and `hi`: multiples of 1, 2 or 5 of a power of ten, at most `most`; on a
    /// logarithmic axis 1, 2 and 5 of each decade or, over many decades, powers of ten.
    fn ticks(&self, lo: f64, hi: f64, most: usize) -> Vec<f64> {
        let most = most.max(1);
        let inside = |v: &f64| *v >= lo - (hi - lo).abs() * 1e-9 && *v <= hi + (hi - lo).abs() * 1e-9;
        if self.log {
            let (first, last) = (libm::floor(libm::log10(lo)) as i32, libm::ceil(libm::log10(hi)) as i32);
            for steps in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
                let all: Vec<f64> = (first..=last)
                    .flat_map(|e| steps.iter().map(move |s| s * libm::exp10(f64::from(e))))
                    .filter(inside)
                    .collect();
                if all.len() <= most && (all.len() > 1 || steps.len() == 1) {
                    return all;
                }
            }
            let skip = usize::try_from(last - first).unwrap_or(0) / most + 1;
            return (first..=last).step_by(skip).map(|e| libm::exp10(f64::from(e))).filter(inside).collect();
        }
        if hi <= lo {
            return vec![lo];
        }
        let decade = libm::exp10(libm::floor(libm::log10((hi - lo) / most as f64)));
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|s| s * decade)
            .find(|s| (hi - lo) / s <= most as f64)
            .unwrap_or(hi - lo);
        let first = libm::ceil(lo / step - 1e-9);
        (0..=most).map(|i| (first + i as f64) * step).filter(inside).collect()
    }
}

/// A number as short as it can be: three digits, `k`, `M` and `G` for thousands.
fn short(v: f64) -> String {
    let size = v.abs();
    let (v, unit) = match size {
        _ if size >= 1e10 => (v / 1e9, "G"),
        _ if size >= 1e7 => (v / 1e6, "M"),
        _ if size >= 1e4 => (v / 1e3, "k"),
        _ => (v, ""),
    };
    let places = match v.abs() {
        a if a == 0.0 || a >= 100.0 => 0,
        a if a >= 10.0 => 1,
        a if a >= 1.0 => 2,
        a => (2 - libm::floor(libm::log10(a)) as i32).min(12),
    };
    format!("{}{unit}", math::round_to(v, places) + 0.0)
}

/// Positions in `0..count` of the ends of a range, and of any value in it.
struct Scale {
    lo: f64,
    hi: f64,
}

impl Scale {
    fn at(&self, v: f64, count: usize) -> usize {
        let last = count.saturating_sub(1);
        if self.hi <= self.lo {
            return last / 2;
        }
        let share = ((v - self.lo) / (self.hi - self.lo)).clamp(0.0, 1.0);
        ((share * last as f64).round() as usize).min(last)
    }
}

/// A cell: the dots that are set, and the series that set one last.
#[derive(Clone, Copy, Default)]
struct Cell {
    dots: u32,
    series: usize,
}

/// Draws `series` over `x` and `y`, as wide as the terminal; nothing if no point can be drawn.
///
/// In colour each character holds 2 x 4 braille dots; without colour each series has a character of its own,
/// so that pipes, logs and `NO_COLOR` show the same curves. Every line fits `settings.width`.
pub fn plot(x: Axis<'_>, y: Axis<'_>, series: &[Series<'_>], settings: &Settings) -> String {
    let drawn: Vec<Vec<(f64, f64)>> = series
        .iter()
        .map(|s| {
            let seen = s.points.iter().filter(|p| x.takes(p.0) && y.takes(p.1));
            seen.copied().collect()
        })
        .collect();
    let range = |of: fn(&(f64, f64)) -> f64| {
        let values = drawn.iter().flatten().map(of);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)))
    };
    let ((x_lo, x_hi), (y_lo, y_hi)) = (range(|p| p.0), range(|p| p.1));
    if x_lo > x_hi {
        return String::new();
    }
    let y_ticks: Vec<(f64, String)> = y.ticks(y_lo, y_hi, 4).into_iter().map(|v| (v, short(v))).collect();
    let margin = y_ticks.iter().map(|t| t.1.chars().count()).max().unwrap_or(0).max(3);
    let width = settings.width.min(WIDEST).saturating_sub(margin + 3).max(16);
    let (across, down) = if settings.color { (2, 4) } else { (1, 1) };
    let (columns, rows) = (width * across, HEIGHT * down);
    let horizontal = Scale { lo: x.scale(x_lo), hi: x.scale(x_hi) };
    let vertical = Scale { lo: y.scale(y_lo), hi: y.scale(y_hi) };
    let mut cells = vec![[Cell::default(); WIDEST]; HEIGHT];
    let mut set = |column: usize, row: usize, series: usize| {
        let cell = &mut cells[HEIGHT - 1 - row / down][column / across];
        *cell = Cell { dots: cell.dots | DOTS[3 - row % down.min(4)][column % across], series };
    };
    // Faint ones first, the others over them, the first on top.
    let mut order: Vec<usize> = (0..series.len()).rev().collect();
    order.sort_by_key(|i| !series[*i].faint);
    for i in order {
        let at = |p: &(f64, f64)| (horizontal.at(x.scale(p.0), columns), vertical.at(y.scale(p.1), rows));
        let mut last: Option<(usize, usize)> = None;
        for p in &drawn[i] {
            let to = at(p);
            for (column, row) in line(last.unwrap_or(to), to) {
                set(column, row, i);
            }
            last = Some(to);
        }
    }
    let mut out = format!("{}\n", y.name);
    for (row, line) in cells.iter().enumerate() {
        let tick = y_ticks.iter().find(|t| HEIGHT - 1 - vertical.at(y.scale(t.0), HEIGHT) == row);
        let end = line[..width].iter().rposition(|c| c.dots > 0).map_or(0, |i| i + 1);
        let mut text =
            format!("{:>margin$} {}", tick.map_or("", |t| &t.1), if settings.color { '│' } else { '|' });
        for cell in &line[..end] {
            let Some(s) = series.get(cell.series).filter(|_| cell.dots > 0) else {
                text.push(' ');
                continue;
            };
            if settings.color {
                let dots = char::from_u32(0x2800 + cell.dots).unwrap_or(' ');
                let style = style(cell.series, s.faint);
                let _ = write!(text, "{style}{dots}{style:#}");
            } else {
                text.push(mark(cell.series, s.faint));
            }
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out.push_str(&foot(&x, (x_lo, x_hi), &horizontal, (margin, width), settings.color));
    out.push_str(&legend(series, &drawn, margin, settings));
    out
}

/// The axis below, its values, and its name flush right.
fn foot(
    x: &Axis<'_>,
    range: (f64, f64),
    scale: &Scale,
    (margin, width): (usize, usize),
    color: bool,
) -> String {
    let (corner, rule, tick) = if color { ('└', '─', '┴') } else { ('+', '-', '+') };
    let mut axis = vec![rule; width];
    let mut values = String::new();
    for v in x.ticks(range.0, range.1, (width / 9).max(2)) {
        let (at, text) = (scale.at(x.scale(v), width), short(v));
        // Under its tick, or pushed in at the right edge; where two would touch the later is left out.
        let from =
            at.saturating_sub(text.chars().count() / 2).min(width.saturating_sub(text.chars().count()));
        let used = values.chars().count();
        if used == 0 || from > used {
            axis[at] = tick;
            let _ = write!(values, "{:gap$}{text}", "", gap = from - used);
        }
    }
    let axis: String = axis.into_iter().collect();
    format!(
        "{:margin$} {corner}{axis}\n{:margin$}  {values}\n{:margin$}  {name:>width$}\n",
        "",
        "",
        "",
        name = x.name
    )
}

fn style(series: usize, faint: bool) -> Style {
    if faint { Style::new().dimmed() } else { COLORS[series % COLORS.len()].on_default() }
}

fn mark(series: usize, faint: bool) -> char {
    if faint { '.' } else { MARKS[series % MARKS.len()] }
}

/// What each series is called; names that are the same, and series of which nothing is drawn, once or not.
fn legend(series: &[Series<'_>], drawn: &[Vec<(f64, f64)>], margin: usize, settings: &Settings) -> String {
    let mut out = String::new();
    let mut seen: Vec<&str> = Vec::new();
    for (i, s) in series.iter().enumerate() {
        if seen.contains(&s.name) || drawn[i].is_empty() {
            continue;
        }
        seen.push(s.name);
        let room = settings.width.saturating_sub(margin + 5);
        let name: String = s.name.chars().take(room).collect();
        if settings.color {
            let style = style(i, s.faint);
            let _ = writeln!(out, "{:margin$}  {style}⠤⠤{style:#} {name}", "");
        } else {
            let _ = writeln!(out, "{:margin$}  {} {name}", "", mark(i, s.faint));
        }
    }
    out
}

/// The cells of a straight line, both ends included (Bresenham).
fn line(from: (usize, usize), to: (usize, usize)) -> Vec<(usize, usize)> {
    let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1));
    let between = |a: usize, b: usize, i: usize| {
        let moved = (a.abs_diff(b) * i * 2 + steps) / (steps * 2).max(1);
        if b >= a { a + moved } else { a - moved }
    };
    (0..=steps).map(|i| (between(from.0, to.0, i), between(from.1, to.1, i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(width: usize, color: bool) -> Settings {
        Settings {
            dir: ".".into(),
            json: false,
            quiet: false,
            verbose: 0,
            now: jiff::Timestamp::UNIX_EPOCH,
            clock: jiff::Timestamp::UNIX_EPOCH,
            color,
            terminal: color,
            width,
            width_known: true,
        }
    }

    const X: Axis<'_> = Axis { name: "x, s", log: false };
    const Y: Axis<'_> = Axis { name: "y, ms", log: false };

    fn series<'a>(name: &'a str, points: &'a [(f64, f64)]) -> Series<'a> {
        Series { name, points, faint: false }
    }

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let text = plot(X, Y, &[series("up", &[(0.0, 0.0), (10.0, 110.0)])], &settings(40, false));
        let expected = "\
y, ms
    |                                **
100 |                             ***
    |                          ***
    |                       ***
    |                    ***
    |                 ***
 50 |              ***
    |           ***
    |        ***
    |     ***
    |  ***
  0 |**
    ++----------------+---------------+
     0                5              10
                                   x, s
     * up
";
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn every_line_fits_and_no_colour_means_ascii() {
        let rising: Vec<(f64, f64)> = (1..400).map(|i| (f64::from(i), f64::from(i * i))).collect();
        let all = [
            series(
                "a curve with a name that is much longer than the window is wide, as names may be",
                &rising,
            ),
            Series { name: "edge", points: &[(1.0, 5.0), (399.0, 2e5)], faint: true },
        ];
        for width in [40, 57, 80, 100, 400] {
            for log in [false, true] {
                let axis = Axis { name: "n", log };
                let plain = plot(axis, axis, &all, &settings(width, false));
                assert!(plain.is_ascii());
                assert!(plain.lines().all(|l| l.chars().count() <= width), "{width}\n{plain}");
                assert!(plain.contains('*') && plain.contains('.'));
                let colored = plot(axis, axis, &all, &settings(width, true));
                assert!(
                    colored.contains('\u{1b}')
                        && colored.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
                );
                let bare = anstream::adapter::strip_str(&colored).to_string();
                assert!(bare.lines().all(|l| l.chars().count() <= width), "{width}\n{bare}");
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        let bad = [(f64::NAN, 1.0), (1.0, f64::INFINITY), (2.0, f64::NAN)];
        assert_eq!(plot(X, Y, &[series("bad", &bad)], &settings(80, false)), "");
        assert_eq!(plot(X, Y, &[], &settings(80, false)), "");
        let log = Axis { name: "x", log: true };
        let some = [(0.0, 1.0), (-3.0, 2.0), (10.0, 3.0)];
        let text = plot(log, Y, &[series("one point", &some)], &settings(80, false));
        assert_eq!(text.matches('*').count(), 2, "one dot and the legend\n{text}");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(X.ticks(0.0, 100.0, 4), [0.0, 50.0, 100.0]);
        assert_eq!(X.ticks(3.1, 9.7, 4), [4.0, 6.0, 8.0]);
        assert_eq!(X.ticks(5.0, 5.0, 4), [5.0]);
        let log = Axis { name: "", log: true };
        assert_eq!(log.ticks(1.0, 60.0, 9), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(log.ticks(1.0, 1e6, 4), [1.0, 100.0, 1e4, 1e6]);
        assert_eq!(
            [0.0, 0.025, 1.5, 150.0, 2.5e4, 1.2e7].map(short),
            ["0", "0.025", "1.5", "150", "25k", "12M"]
        );
    }
}
