//! What exists, beside what is recorded.

use super::clouds::Clouds;
use super::commands::apply::View;
use super::held::{Held, store_failure, who};
use super::{Exit, Failure, Settings};
use crate::apply::{Drift, Machine, Survey};

/// Finds out what became of what an earlier apply left open.
///
/// # Errors
/// It is not known of all of it.
pub fn settle(held: &mut Held, settings: &Settings, clouds: &Clouds) -> Result<(), Failure> {
    let Some(state) = held.state().filter(|state| !state.open.is_empty()) else { return Ok(()) };
    let mut machine = Machine::settling(state.clone(), clouds.options.clone());
    let store = held.store(clouds.simulated)?;
    let mut view = View::new(settings);
    view.recovering(machine.state().open.len());
    let summary = view.drive(&mut machine, store, clouds);
    view.close();
    if summary.interrupted {
        let text = "it was asked to end; what was found out is recorded".to_owned();
        return Err(Failure::Message { exit: Exit::Interrupted, text });
    }
    if summary.left.is_empty() && summary.unrecorded.is_none() {
        return Ok(());
    }
    let open: Vec<String> =
        summary.left.iter().map(|(verb, addr, why)| format!("{} {addr}: {why}", verb.as_str())).collect();
    let why = summary.unrecorded.unwrap_or_else(|| open.join("; "));
    Err(Failure::error(format!("what an earlier apply began is not known to have ended: {why}; apply again")))
}

/// For commands with one answer: machines do not get the events on the way to it.
pub fn silent(settings: &Settings) -> Settings {
    Settings { json: false, quiet: settings.quiet || settings.json, ..settings.clone() }
}

/// Looks at everything that is recorded; changes nothing, also not the record.
///
/// # Errors
/// There is no adapter for some of it, or the look was ended early.
pub fn look(held: &mut Held, settings: &Settings, clouds: &Clouds) -> Result<Drift, Failure> {
    let Some(state) = held.state().cloned() else { return Ok(Drift::default()) };
    clouds.fits(&state, &held.name)?;
    clouds.reach(&state)?;
    let mut survey = Survey::new(&state, clouds.options.clone());
    let store = held.store(clouds.simulated)?;
    let mut view = View::new(settings);
    view.looking(state.resources.len() + state.spares.len());
    view.drive(&mut survey, store, clouds);
    view.close();
    let drift = survey.drift();
    if drift.interrupted {
        return Err(Failure::Message {
            exit: Exit::Interrupted,
            text: "it was asked to end: nothing was recorded".to_owned(),
        });
    }
    Ok(drift)
}

/// Records what was found.
///
/// # Errors
/// It cannot be recorded.
pub fn record(drift: &Drift, held: &mut Held, settings: &Settings, clouds: &Clouds) -> Result<(), Failure> {
    let records = drift.records(&who(), &settings.clock.to_string());
    if records.is_empty() {
        return Ok(());
    }
    held.store(clouds.simulated)?.append(&records).map_err(store_failure)
}

/// Makes the record say what exists.
///
/// # Errors
/// Something cannot be looked at; what else was found is recorded.
pub fn refresh(held: &mut Held, settings: &Settings, clouds: &Clouds) -> Result<Drift, Failure> {
    let drift = look(held, settings, clouds)?;
    record(&drift, held, settings, clouds)?;
    complete(&drift)?;
    Ok(drift)
}

/// Nothing is said of what could not be looked at.
///
/// # Errors
/// There is such a thing.
pub fn complete(drift: &Drift) -> Result<(), Failure> {
    if drift.unseen.is_empty() {
        return Ok(());
    }
    let unseen: Vec<String> = drift.unseen.iter().map(|(what, why)| format!("{what}: {why}")).collect();
    Err(Failure::error(format!("not everything could be looked at: {}", unseen.join("; "))))
}
