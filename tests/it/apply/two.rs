//! Two processes that apply at the same time, in every order in which what they do may come to happen.
//!
//! Explored is the machine that production runs, on a simulated cloud and on a log with the rule of the store in a bucket (the lease is
//! left out: it is for manners). One thing happens at a time: a process appends to the log, sends a call, is told answers and timers; a call
//! has its effect, at once or late; the second process opens the state, at any point; one process is killed, at any point. A process that
//! is not chosen is paused, for as long as that is. So among the schedules is every one in which a holder is paused, is overtaken and wakes
//! up. In the end a third process goes on, looks, plans and applies.
//!
//! # What then holds
//!
//! Everything that is wanted exists once and as it is wanted, nothing with our lineage exists that the state does not know, no intent is
//! open, and the next plan is empty. An overtaken process has written nothing, and sent no call that was not recorded before. Without
//! such a call nothing is otherwise than recorded, and with one nothing is there twice where the cloud knows tokens.
//!
//! # What is assumed
//!
//! - A call has its effect within `call_lag_ms` of being sent or never does, however long its sender was paused before it sent it.
//! - A list shows what was made `list_lag_ms` ago. So what an overtaken process made where tokens are nothing to the cloud is there twice
//!   until somebody looks, who sees it if both lags have passed since it was sent.
//! - Where tokens are known to the cloud, they are for as long as the deployment lives.
//!
//! Not explored: a put to the log whose answer was lost and which the process takes for failed; processes that overtake the second one
//! while it runs; calls that arrive twice.

mod explore;
mod log;
mod process;
mod stage;
mod store;

use rhumb::plan::Desired;
use rhumb_api::{Attr, ResourceAddr};

use super::deployment::Region;
use super::tables::Table;
use super::world::Plan;
use explore::{Count, explore};
use log::Rule;
use process::{Kept, Task};
use stage::{Plant, Stage, Story};

/// Stories live as long as the tests.
fn kept<T>(what: T) -> &'static T {
    Box::leak(Box::new(what))
}

fn nothing() -> Desired {
    Desired::new()
}

fn only(workload: &str, range: u8, names: &[&str]) -> Desired {
    let region = Region { range, ..Region::new(workload, "eu-west-1") };
    let is = |addr: &ResourceAddr| names.iter().any(|name| addr.as_str().ends_with(name));
    region.wanted().into_iter().filter(|(addr, _)| is(addr)).collect()
}

fn network(range: u8) -> Desired {
    only("services.chat", range, &["network"])
}

/// A network and a firewall in it.
fn guarded(outbound: &str) -> Desired {
    let mut all = only("services.chat", 64, &["network", "firewall"]);
    for (addr, (resource, _)) in &mut all {
        if addr.as_str().ends_with("firewall") {
            resource.attributes.insert("outbound", Attr::from(outbound));
        }
    }
    all
}

/// Both processes apply one saved plan, and one of them may be killed.
fn story(name: &'static str, before: &Desired, after: &Desired) -> Story {
    let (before, after) = (kept(before.clone()), kept(after.clone()));
    let mut story = Story {
        name,
        before,
        tasks: [Task::Spec(after); 2],
        after,
        deduplicates: true,
        parallel: 1,
        crashes: 1,
        losses: 0,
        plant: Plant::None,
    };
    let stage = Stage::new(&story, &mut Kept::default());
    let state = stage.recorded();
    let plan = kept(Plan::new("saved", (state.serial > 0).then_some(state), after));
    story.tasks = [Task::Saved(plan); 2];
    story
}

/// The second process settles, looks and plans for itself, and wants something else.
fn otherwise(name: &'static str, before: &Desired, first: &Desired, then: &Desired) -> Story {
    let then = kept(then.clone());
    let of = story(name, before, first);
    Story { after: then, tasks: [of.tasks[0], Task::Spec(then)], ..of }
}

fn create() -> Story {
    story("create", &nothing(), &network(64))
}

fn create_two() -> Story {
    story("create two", &nothing(), &guarded("any"))
}

fn update() -> Story {
    story("update", &guarded("any"), &guarded("none"))
}

fn replace() -> Story {
    story("replace", &network(64), &network(65))
}

fn delete() -> Story {
    story("delete", &network(64), &nothing())
}

fn delete_two() -> Story {
    story("delete two", &guarded("any"), &nothing())
}

fn made_and_not_wanted() -> Story {
    otherwise("made and not wanted", &nothing(), &network(64), &nothing())
}

fn changed_otherwise() -> Story {
    otherwise("changed otherwise", &guarded("any"), &guarded("none"), &guarded("some"))
}

fn removed_and_wanted() -> Story {
    otherwise("removed and wanted", &network(64), &nothing(), &network(64))
}

/// Two things that need nothing of each other, made at the same time.
fn apart() -> Story {
    let mut both = network(64);
    both.extend(only("services.mail", 64, &["network"]));
    Story { parallel: 2, ..story("apart", &nothing(), &both) }
}

fn without_tokens(story: Story) -> Story {
    Story { deduplicates: false, ..story }
}

/// By hand, for one thing that is made where tokens are known and nobody is killed.
///
/// The first process has nine steps: it appends (begin, intent), sends; the create lands; it wakes, appends (accepted), wakes by its timer;
/// the look lands; it wakes, appends (ended, end). If the second opens
///
/// - before them, it has these nine too, and the first one more, which is refused: 10 over 1 orders;
/// - after the first, it has eleven (append; the look-up lands; wake; send; landing; wake; append; timer; landing; wake; append), and the
///   first four more (send; landing; wake; append, which is refused): 15 over 4;
/// - after the second, third, fourth, the first has three, two, one: 14 over 3, 13 over 2, 12 over 1;
/// - later, some more.
const LEAST: u128 = 10 + 1_365 + 364 + 78 + 12;

fn show(story: &Story, count: &Count) {
    let Story { name, deduplicates, parallel, crashes, losses, plant, .. } = story;
    let Count { schedules, stages, ends, zombies, strays, .. } = count;
    println!(
        "{name}, tokens {deduplicates}, {parallel} at a time, {crashes} killed, {losses} lost, {plant:?}: {schedules} schedules, \
         {stages} stages, {ends} ends, {zombies} of them with a zombie, {strays} with strays"
    );
}

fn all_is_well(story: Story) -> Count {
    let count = explore(&story, usize::MAX);
    show(&story, &count);
    assert!(count.wrong.is_empty(), "{}: {:?}", story.name, count.wrong);
    // Every other story has at least as many steps as that of the bound.
    assert!(count.whole && count.schedules >= LEAST, "{}: {}", story.name, count.schedules);
    assert!(count.zombies > 0, "{}: nobody woke up", story.name);
    count
}

#[test]
fn one_thing_is_made_once() {
    let calm = all_is_well(Story { crashes: 0, ..create() });
    assert!(all_is_well(create()).schedules > calm.schedules);
    assert!(all_is_well(without_tokens(create())).strays > 0, "no zombie made anything");
}

#[test]
fn things_that_need_each_other_are_made_once() {
    all_is_well(without_tokens(create_two()));
}

#[test]
fn things_are_changed() {
    all_is_well(update());
}

#[test]
fn things_are_replaced() {
    all_is_well(without_tokens(replace()));
}

#[test]
fn things_are_removed() {
    all_is_well(delete());
    all_is_well(Story { crashes: 0, ..delete_two() });
}

#[test]
fn what_the_first_wanted_does_not_matter_to_the_second() {
    all_is_well(made_and_not_wanted());
    all_is_well(without_tokens(Story { crashes: 0, ..removed_and_wanted() }));
}

#[test]
fn a_late_change_is_changed_back() {
    all_is_well(without_tokens(Story { crashes: 0, ..changed_otherwise() }));
}

/// What a zombie makes where tokens are nothing to the cloud, after the last thing of the region is gone: the state remembers the regions
/// in which it ever ordered something, and they are looked at.
#[test]
fn what_a_zombie_makes_where_nothing_is_recorded_any_more_is_found() {
    all_is_well(without_tokens(made_and_not_wanted()));
}

const HEAD: &str = "| story | tokens | at a time | killed | lost | schedules | stages | ends | with a zombie | with strays | faults |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// A row of the table.
fn row(story: &Story, count: &Count) -> String {
    let Story { name, deduplicates, parallel, crashes, losses, .. } = story;
    let Count { schedules, stages, ends, zombies, strays, wrong, whole } = count;
    let tokens = if *deduplicates { "known" } else { "nothing" };
    let least = if *whole { "" } else { "at least " };
    format!(
        "| {name} | {tokens} | {parallel} | {crashes} | {losses} | {least}{schedules} | {stages} | {ends} | {zombies} | {strays} | {} |\n",
        wrong.len()
    )
}

/// More than CI takes: one process killed in every story, then a call lost besides, then two things at a time. `RHUMB_TWO_STAGES` bounds
/// the stages of each. The table is in `tests/it/apply/TWO.md`, where the command is.
#[test]
#[ignore = "takes many minutes"]
fn the_whole() {
    let most = std::env::var("RHUMB_TWO_STAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let stories = [
        create(),
        create_two(),
        update(),
        replace(),
        delete_two(),
        removed_and_wanted(),
        changed_otherwise(),
    ];
    let lossy =
        [create(), update(), removed_and_wanted(), replace()].map(|story| Story { losses: 1, ..story });
    // One of them alone, by its place in the order in which they are told, from 0; no table is written then.
    let only: Option<usize> = std::env::var("RHUMB_TWO_ONLY").ok().and_then(|n| n.parse().ok());
    let table = if only.is_none() { Table::named_by("RHUMB_TWO_TABLE") } else { None };
    let (mut sum, mut whole, mut rows, mut wrong) = (0_u128, 0, String::new(), Vec::new());
    let mut told = 0;
    for (i, story) in stories.into_iter().chain(lossy).chain([apart()]).enumerate() {
        for (k, story) in [story, without_tokens(story)].into_iter().enumerate() {
            if only.is_some_and(|only| only != 2 * i + k) {
                continue;
            }
            let count = explore(&story, most);
            show(&story, &count);
            rows.push_str(&row(&story, &count));
            sum = sum.saturating_add(count.schedules);
            (told, whole) = (told + 1, whole + usize::from(count.whole));
            if !count.whole {
                println!("  not whole: {most} stages");
            }
            wrong.extend(
                count.wrong.into_iter().map(|(what, way)| format!("{}: {what}: {way:?}", story.name)),
            );
        }
    }
    let figures = format!(
        "{sum} schedules of {told} stories, {whole} of them seen to their end and the others for {most} stages; {} faults were found.",
        wrong.len()
    );
    println!("{figures}");
    if let Some(table) = table {
        table.write(&figures, &format!("{HEAD}{rows}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A fault is in the row, and so is that not all was seen.
#[test]
fn the_table_tells_of_faults_and_of_what_was_left_out() {
    let story = Story { plant: Plant::NoLook, ..without_tokens(create()) };
    let count = explore(&story, 600);
    let told = row(&story, &count);
    assert!(!count.wrong.is_empty() && told.ends_with(&format!("| {} |\n", count.wrong.len())), "{told}");
    let part = row(&story, &explore(&story, 50));
    assert!(part.contains("| at least "), "{part}");
    let sound = row(&story, &Count { whole: true, ..Count::default() });
    assert!(sound.ends_with("| 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |\n"), "{sound}");
    let columns = |line: &str| line.matches('|').count();
    assert!(HEAD.lines().all(|line| columns(line) == columns(&told)));
}

/// The checks see what they are there for: each fault is found, by what it does.
#[test]
fn planted_faults_are_found() {
    let bare = without_tokens(create());
    let late = without_tokens(Story { crashes: 0, ..changed_otherwise() });
    let leaked = "leaked";
    let twice = "is there 2 times";
    let unrecorded = "otherwise than recorded without a zombie";
    let faults: [(Plant, Story, &[&str]); 9] = [
        (Plant::Log(Rule::NoFence), bare, &["an overtaken process has written"]),
        (
            Plant::Log(Rule::Anywhere),
            bare,
            &["an overtaken process has written", "the log does not fit together"],
        ),
        (Plant::SendsFirst, bare, &["a call is sent that is not recorded", unrecorded]),
        (Plant::LooksNowhere, bare, &[leaked, twice]),
        (Plant::WaitsForNothing, bare, &[unrecorded]),
        (Plant::WaitsForNothing, late, &[unrecorded]),
        (Plant::ListsLate, bare, &[leaked, twice]),
        (Plant::CallsLate, bare, &[unrecorded]),
        (Plant::NoLook, bare, &[leaked, twice]),
    ];
    for (plant, story, found) in faults {
        let story = Story { plant, ..story };
        // They are found long before all is seen.
        let count = explore(&story, 600);
        show(&story, &count);
        for what in found {
            let seen = count.wrong.keys().any(|wrong| wrong.contains(what));
            assert!(seen, "{plant:?} in {}: {what} is not in {:?}", story.name, count.wrong.keys());
        }
    }
}
