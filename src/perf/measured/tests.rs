use super::*;
use crate::spec::Launch;

fn server(batch: u32, takes_s: f64) -> ServiceCurve {
    let catalog = crate::catalog::Catalog::embedded();
    let on = &catalog.accelerators[catalog.accelerator("l4-24gb").unwrap()];
    curve(&Launch { batch, takes_s }, 1e9, on).unwrap()
}

fn poisson(curve: &ServiceCurve, load: f64, replicas: u32) -> Latency {
    curve.latency(load * curve.saturation_rate(), replicas, Arrivals::Poisson).unwrap()
}

#[test]
fn what_a_server_is() {
    let c = server(8, 0.022);
    assert!((c.saturation_rate() - 8.0 / 0.022).abs() < 1e-9);
    assert_eq!((c.memory.weights, c.max_batch, c.evidence), (1e9, 8, Evidence::Measured));
    assert_eq!([c.ttft_band.factor(0.99), c.tpot_band.factor(0.5)], [1.0, 1.0]);
    let idle = c.latency(0.0, 3, Arrivals::Poisson).unwrap();
    assert_eq!((idle.e2e.mean, idle.e2e.at(Some(0.999)), idle.tpot.at(Some(0.5))), (22.0, 22.0, 0.0));
    assert!(c.latency(c.saturation_rate(), 3, Arrivals::Poisson).is_none());
    let catalog = crate::catalog::Catalog::embedded();
    let on = &catalog.accelerators[catalog.accelerator("l4-24gb").unwrap()];
    let much = curve(&Launch { batch: 1, takes_s: 1.0 }, 40e9, on).unwrap_err();
    assert_eq!(much.rule(), "memory");
}

/// Constant service, one server: the mean wait is exactly `rho T / (2 (1 - rho))` (Pollaczek and Khinchine); the
/// distribution is Erlang's of 1909, `P(W <= x) = (1 - rho) sum (-1)^k (rho (x - k))^k / k! exp(rho (x - k))` with `T = 1`.
#[test]
fn one_server_of_one_item_is_m_d_1() {
    let c = server(1, 1.0);
    for rho in [0.1, 0.3, 0.5, 0.7, 0.8] {
        let l = poisson(&c, rho, 1);
        let mean = 1.0 + rho / (2.0 * (1.0 - rho));
        assert!((l.e2e.mean / 1e3 / mean - 1.0).abs() < 0.05, "{rho}: {} {mean}", l.e2e.mean);
        for q in [0.95, 0.99] {
            let below = |x: f64| {
                let (mut sum, mut k) = (0.0, 0.0);
                let mut factorial = 1.0;
                while k <= x {
                    let y = rho * (x - k);
                    sum += math::pow(-y, k) / factorial * math::exp(y);
                    k += 1.0;
                    factorial *= k;
                }
                (1.0 - rho) * sum
            };
            let (mut low, mut high) = (0.0, 16.0);
            for _ in 0..60 {
                let middle = (low + high) / 2.0;
                if below(middle) < q { low = middle } else { high = middle }
            }
            let (exact, found) = (1.0 + low, l.e2e.at(Some(q)) / 1e3);
            assert!((found / exact - 1.0).abs() < 0.08, "{rho} p{q}: {found} is {exact}");
        }
    }
}

/// Erlang's formulas in their tables: 10 servers offered 5 erlangs lose 0.01838 (loss) and let 0.03610 wait (delay).
#[test]
fn erlang_by_the_tables() {
    let (lost, fewer) = loss(10, 5.0);
    assert!((lost - 0.018_385).abs() < 1e-5, "{lost}");
    // Fewer than 10 of a Poisson number of mean 5.
    assert!((fewer - 0.968_172).abs() < 1e-5, "{fewer}");
    let wait = poisson(&server(1, 1.0), 0.5, 10).e2e.wait.unwrap();
    assert!((wait.share - 0.036_105).abs() < 1e-5, "{wait:?}");
    assert_eq!(loss(1, 1.0).0, 0.5);
    assert!(loss(MOST_SERVERS, 1e-3).0 >= 0.0 && loss(MOST_SERVERS, 1e-3).1 <= 1.0);
}

/// One server without a bound on the launch: busy for a share `a e^a / (1 + a e^a)`, and whoever comes then waits for the
/// rest of a launch, evenly.
#[test]
fn one_server_of_many_items_is_a_shuttle() {
    let c = server(4096, 1.0);
    for a in [0.1, 0.5, 1.0, 3.0, 20.0] {
        let wait = c.latency(a, 1, Arrivals::Poisson).unwrap().e2e.wait.unwrap();
        let busy = a * math::exp(a) / (1.0 + a * math::exp(a));
        assert!((wait.share - busy).abs() < 1e-9 && (wait.whole_ms - 1e3).abs() < 1e-9, "{a} {wait:?}");
    }
}

#[test]
fn the_decay_is_the_root() {
    for load in [1e-9, 1e-3, 0.2, 0.5, 0.9, 0.999, 1.0 - 1e-9] {
        let theta = decay(load);
        let off = load * (math::exp(theta) - 1.0) - theta;
        assert!(theta > 0.0 && off.abs() <= 1e-9 * theta.max(1e-3), "{load}: {theta} {off}");
    }
}

/// More load waits longer at every quantile, more servers for the same load or for the same load of each do not.
#[test]
fn waits_rise_with_load_and_fall_with_servers() {
    for batch in [1, 2, 3, 8, 32, 200] {
        let c = server(batch, 0.01);
        let top = c.saturation_rate();
        let figures = |rate: f64, n: u32| {
            let e = c.latency(rate, n, Arrivals::Poisson).unwrap().e2e;
            [e.mean, e.at(Some(0.2)), e.at(Some(0.5)), e.at(Some(0.9)), e.at(Some(0.99)), e.at(Some(0.9999))]
        };
        let rises = |a: [f64; 6], b: [f64; 6]| a.iter().zip(b).all(|(a, b)| *a <= b + 1e-3 + 1e-9 * b);
        for n in [1, 2, 3, 7, 20, 100, 511, 513, 4000] {
            let mut last = [0.0; 6];
            for step in 0..=99 {
                let rate = top * f64::from(step) / 100.0;
                let now = figures(rate, n);
                assert!(rises(last, now), "{batch} {n} {step}: {last:?} {now:?}");
                last = now;
                let wider = figures(rate, n + 1);
                assert!(rises(wider, now), "{batch} {n} {step}, more of them: {wider:?} {now:?}");
                let shared = figures(rate * f64::from(n) / f64::from(n + 1), n + 1);
                assert!(rises(shared, now), "{batch} {n} {step}, shared: {shared:?} {now:?}");
            }
        }
    }
}

/// A faster launch, and a larger one in the same time, are never worse.
#[test]
fn better_servers_are_never_worse() {
    for n in [1, 3, 30] {
        for batch in [1, 4, 16] {
            let (slow, fast, large) = (server(batch, 0.02), server(batch, 0.015), server(batch * 2, 0.02));
            for step in 0..=19 {
                let rate = slow.saturation_rate() * f64::from(step) / 20.0;
                let at = |c: &ServiceCurve, q| c.latency(rate, n, Arrivals::Poisson).unwrap().e2e.at(q);
                for q in [None, Some(0.5), Some(0.95), Some(0.999)] {
                    assert!(at(&fast, q) <= at(&slow, q) + 1e-9, "{n} {batch} {step} {q:?}");
                }
                assert!(
                    at(&large, Some(0.99)) <= at(&slow, Some(0.99)).max(40.0) + 1e-9,
                    "{n} {batch} {step}"
                );
            }
        }
    }
}

#[test]
fn other_arrivals() {
    let (one, many) = (server(1, 0.01), server(8, 0.01));
    let at = |c: &ServiceCurve, arrivals| {
        c.latency(0.7 * c.saturation_rate(), 4, arrivals).unwrap().e2e.at(Some(0.99))
    };
    assert_eq!(at(&one, Arrivals::Constant), 10.0);
    assert!(at(&many, Arrivals::Constant) <= 20.0);
    assert!(at(&one, Arrivals::Bursty { cv2: 4.0 }) > at(&one, Arrivals::Poisson));
    assert!(one.unchecked(50.0, 4, Arrivals::Bursty { cv2: 4.0 }).is_some());
    assert!(one.unchecked(50.0, 4, Arrivals::Poisson).is_none());
    assert!(one.unchecked(96.0, 4, Arrivals::Poisson).is_some());
    assert!(one.unchecked(50.0, 256, Arrivals::Poisson).is_none());
    assert!(one.unchecked(50.0, 257, Arrivals::Poisson).is_some());
}

#[test]
fn nothing_is_predicted_of_an_own_server() {
    let catalog = crate::catalog::Catalog::embedded();
    let on = &catalog.accelerators[catalog.accelerator("l4-24gb").unwrap()];
    let mut c = crate::perf::testing::configuration(&NO_ARCHITECTURE, on, 1);
    c.engine = settings(4);
    assert_eq!(crate::perf::curve(&c, &crate::perf::testing::shape(1.0, 0.0)).unwrap_err().rule(), "engine");
}
