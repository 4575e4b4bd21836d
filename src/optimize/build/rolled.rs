//! What is said of changes that are rolled out.

use super::super::job::{Job, Kind};

/// What machines that come and go meanwhile mean for the promises.
pub(super) fn caveats(job: &Job<'_>) -> Vec<String> {
    let Some(rolling) = job.spec.rollout(&job.address).and_then(|rollout| rollout.rolling) else {
        return Vec::new();
    };
    let survive = match job.kind {
        Kind::Service(service) => service.survive.machine,
        _ => 0,
    };
    let count = |n: u32| if n == 1 { "1 machine".to_owned() } else { format!("{n} machines") };
    let besides = (rolling.surge > 0).then(|| {
        let most = count(rolling.surge);
        format!("quotas and the ceiling of the cost count up to {most} of each fleet besides, for changes that are rolled out")
    });
    let missing = (rolling.unavailable > survive).then(|| {
        let most = count(rolling.unavailable);
        format!("up to {most} of each fleet may be missing while a change is rolled out, and `survive` covers {survive}: objectives may not hold meanwhile")
    });
    besides.into_iter().chain(missing).collect()
}
