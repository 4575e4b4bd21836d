//! What is said before anything is ordered holds at once afterwards, and what is not known is not let pass.

use super::Check;
use super::arrange::{Trouble, Verb};
use super::check::{Done, Stop, check, ensure};
use super::samples::spoiled;
use super::trial::Trial;
use crate::preflight::{About, Change, Finding, Verdict, Wanted, passes};
use crate::{Attr, Call, ErrorKind, Handle, Order, ResourceKind};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "preflight.passes",
        "what can be made, changed and removed is let pass, and is done then",
        lets_pass
    ),
    check!("preflight.complete", "an answer speaks of everything that it has to speak of", complete),
    check!("preflight.makes_nothing", "asking makes, changes and removes nothing", makes_nothing),
    check!(
        "preflight.credentials",
        "credentials that are not taken are found, and are no error of the question",
        credentials
    ),
    check!("preflight.permission", "a right that is missing is found, whatever it is to do", permission),
    check!("preflight.invalid", "what nobody can deploy is not let pass", invalid),
    check!("preflight.offering", "a type that the cloud does not have is found", offering),
    check!("preflight.quota", "what several things need of a quota is added up", quota),
    check!(
        "preflight.replaced",
        "what is replaced is counted beside what takes its place unless it goes first, and what grows by what it grows",
        replaced
    ),
    check!("preflight.secret", "a secret that is not there is found", secret),
    check!(
        "preflight.capacity",
        "machines that are not there are a warning: neither refused for it nor promised",
        capacity
    ),
    check!(
        "preflight.unanswered",
        "a question that was not answered says so, and lets nothing pass",
        unanswered
    ),
];

fn wanted(change: Change, order: &Order, of: Option<&Handle>) -> Wanted {
    Wanted {
        address: order.tags.address.clone(),
        change,
        resource: order.resource.clone(),
        id: of.map(|handle| handle.id.clone()),
        first: false,
    }
}

fn create(order: &Order) -> Wanted {
    wanted(Change::Create, order, None)
}

/// That nothing is refused; a cloud need not be able to tell.
fn not_refused(found: &[Finding], of: &str) -> Done {
    let failed = found.iter().find(|finding| finding.verdict == Verdict::Failed);
    ensure!(failed.is_none(), "{of} is refused: {failed:?}");
    Ok(())
}

/// That it is told that something is in the way, or cannot be told.
fn in_the_way(found: &[Finding], about: About, of: &str) -> Done {
    let not_fine = |f: &Finding| matches!(f.verdict, Verdict::Failed | Verdict::Unknown);
    let told = found.iter().any(|finding| finding.about == about && not_fine(finding));
    ensure!(told, "{of} is let pass, by {about}");
    ensure!(!passes(found), "{of} is let pass");
    Ok(())
}

async fn lets_pass(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    let orders: Vec<Order> = t.kinds().iter().map(|kind| t.order(*kind, &ids)).collect();
    let creates: Vec<Wanted> = orders.iter().map(create).collect();
    not_refused(&t.found(&creates).await?, "a sample of every kind")?;
    for order in &orders {
        let made = t.make(order).await?;
        let update = t.changed(order.resource.kind, &ids);
        let asked = [wanted(Change::Update, &update, Some(&made.handle))];
        not_refused(&t.found(&asked).await?, "an update")?;
        t.some(&Call::Update(made.handle.clone(), update.clone())).await?;
        t.settled(&made.handle).await?;
        let asked = [wanted(Change::Delete, &update, Some(&made.handle))];
        not_refused(&t.found(&asked).await?, "a removal")?;
        t.remove(&made.handle).await?;
    }
    Ok(())
}

async fn complete(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    let orders = t.with_secrets(&ids).into_iter().chain(t.kinds().iter().map(|kind| t.order(*kind, &ids)));
    let creates: Vec<Wanted> = orders.map(|order| create(&order)).collect();
    for some in creates.chunks(1).chain([&creates[..]]) {
        let unspoken = t.asked(some).unspoken(&t.found(some).await?);
        ensure!(unspoken.is_empty(), "nothing is said of {unspoken:?}");
    }
    Ok(())
}

async fn makes_nothing(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    t.list_lag().await;
    let before = t.list(None).await?;
    for kind in t.kinds() {
        t.found(&[create(&t.order(*kind, &ids))]).await?;
    }
    t.all_lags().await;
    let after = t.list(None).await?;
    ensure!(before == after, "there were {} things, and there are {}", before.len(), after.len());
    for kind in t.kinds() {
        let (order, made) = t.sample(*kind, &ids).await?;
        let update = wanted(Change::Update, &t.changed(*kind, &ids), Some(&made.handle));
        t.found(&[update, wanted(Change::Delete, &order, Some(&made.handle))]).await?;
        t.all_lags().await;
        t.unchanged(&made).await?;
        t.remove(&made.handle).await?;
    }
    Ok(())
}

async fn credentials(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let order = t.order(*kind, &ids);
        t.trouble(Trouble::Expired, Verb::Create).await?;
        let found = t.found(&[create(&order)]).await?;
        in_the_way(&found, About::Credentials, "what is asked with expired credentials")?;
        t.error(&Call::Create(order.clone()), ErrorKind::Denied).await?;
        t.calm().await;
        t.made_by(&order.tags.token, 0).await?;
    }
    Ok(())
}

async fn permission(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, made) = t.sample(*kind, &ids).await?;
        let changed = t.changed(*kind, &ids);
        let asked = [
            (Verb::Create, create(&order)),
            (Verb::Update, wanted(Change::Update, &changed, Some(&made.handle))),
            (Verb::Delete, wanted(Change::Delete, &order, Some(&made.handle))),
        ];
        for (verb, wanted) in asked {
            t.trouble(Trouble::Denied, verb).await?;
            let found = t.found(&[wanted]).await?;
            t.calm().await;
            in_the_way(&found, About::Permission, &format!("a {verb:?} of a {kind} that is denied"))?;
        }
        t.remove(&made.handle).await?;
    }
    Ok(())
}

async fn invalid(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for (what, resource) in spoiled(t.place()) {
        let mut order = t.order(resource.kind, &ids);
        order.resource = resource;
        in_the_way(&t.found(&[create(&order)]).await?, About::Offering, &what)?;
    }
    Ok(())
}

async fn offering(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let order = t.order(*kind, &ids);
        if !order.resource.attributes.contains_key("instance_type") {
            continue;
        }
        t.trouble(Trouble::NotOffered, Verb::Create).await?;
        let found = t.found(&[create(&order)]).await?;
        t.calm().await;
        in_the_way(&found, About::Offering, &format!("a {kind} of a type that there is not"))?;
    }
    Ok(())
}

async fn quota(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.machine_kinds() {
        let (one, mut other) = (create(&t.order(kind, &ids)), create(&t.order(kind, &ids)));
        other.address = other.address.child("other");
        let all = one.machines() + other.machines();
        t.trouble(Trouble::QuotaLeaves(all - 1), Verb::Create).await?;
        for alone in [&one, &other] {
            not_refused(&t.found(std::slice::from_ref(alone)).await?, "what fits into a quota by itself")?;
        }
        let both = t.found(&[one, other]).await?;
        t.calm().await;
        in_the_way(&both, About::Quota, "what fits into a quota by itself and not together")?;
    }
    Ok(())
}

async fn replaced(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    // A run may have ended by the time at which it is asked about; its machines are gone then.
    for kind in t.machine_kinds().filter(|kind| *kind != ResourceKind::JobRun) {
        let (order, made) = t.sample(kind, &ids).await?;
        let machines = create(&order).machines();
        let mut larger = t.order(kind, &ids);
        larger.resource.attributes.insert("count", Attr::Int(i64::from(machines) + 1));
        let grown = wanted(Change::Update, &larger, Some(&made.handle));
        let anew = [create(&order), wanted(Change::Delete, &order, Some(&made.handle))];
        t.trouble(Trouble::QuotaLeaves(1), Verb::Create).await?;
        not_refused(&t.found(std::slice::from_ref(&grown)).await?, "one machine more")?;
        t.calm().await;
        t.trouble(Trouble::QuotaLeaves(machines - 1), Verb::Create).await?;
        let found = t.found(&anew).await?;
        t.calm().await;
        in_the_way(&found, About::Quota, "a replacement that does not fit beside the old one")?;
        t.trouble(Trouble::QuotaLeaves(0), Verb::Create).await?;
        let [new, old] = anew;
        let found = t.found(&[new, Wanted { first: true, ..old }]).await?;
        t.calm().await;
        not_refused(&found, "a replacement for which the old one goes first")?;
        t.trouble(Trouble::QuotaLeaves(0), Verb::Create).await?;
        let found = t.found(&[grown]).await?;
        t.calm().await;
        in_the_way(&found, About::Quota, "a machine too many")?;
        t.remove(&made.handle).await?;
    }
    Ok(())
}

async fn secret(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for order in t.with_secrets(&ids) {
        not_refused(&t.found(&[create(&order)]).await?, "what names a secret that is there")?;
        t.trouble(Trouble::NoSecret, Verb::Create).await?;
        let found = t.found(&[create(&order)]).await?;
        t.calm().await;
        in_the_way(&found, About::Secret, "what names a secret that is not there")?;
    }
    Ok(())
}

async fn capacity(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.machine_kinds() {
        t.trouble(Trouble::Capacity, Verb::Create).await?;
        let found = t.found(&[create(&t.order(kind, &ids))]).await?;
        t.calm().await;
        let said = found.iter().filter(|finding| finding.about == About::Capacity);
        let verdicts: Vec<Verdict> = said.map(|finding| finding.verdict).collect();
        let careful = |verdict: &Verdict| matches!(verdict, Verdict::Warning | Verdict::Unknown);
        let told = verdicts.iter().any(careful) && !verdicts.contains(&Verdict::Failed);
        ensure!(told, "of machines of a {kind} that are not there it says {verdicts:?}");
    }
    Ok(())
}

async fn unanswered(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for (what, kind) in [
        (Trouble::LostRequest, ErrorKind::UnknownOutcome),
        (Trouble::LostReply, ErrorKind::UnknownOutcome),
        (Trouble::Throttled, ErrorKind::Throttled),
    ] {
        for of in t.kinds() {
            t.trouble(what, Verb::Preflight).await?;
            let answer = t.preflight(&[create(&t.order(*of, &ids))]).await;
            t.calm().await;
            match answer {
                Err(error) if error.kind == kind => {}
                Err(error) => {
                    return Err(Stop::Failed(format!("{what:?} of a preflight is {error}, not {kind}")));
                }
                Ok(found) => {
                    return Err(Stop::Failed(format!(
                        "{what:?} of a preflight is an answer with {} findings",
                        found.len()
                    )));
                }
            }
        }
    }
    Ok(())
}
