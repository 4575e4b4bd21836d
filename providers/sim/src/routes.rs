//! What is asked of the server, and how it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rhumb_api::{Attr, Cloud, Handle, Observed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::hand::HandError;
use crate::log::CallNo;
use crate::server::Hall;
use crate::world::World;

type Body = Result<Bytes, BytesRejection>;

/// A request that is not answered as it wants.
pub(crate) struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<HandError> for Problem {
    fn from(error: HandError) -> Self {
        let status = match error {
            HandError::Missing(_) => StatusCode::NOT_FOUND,
            HandError::Taken(_) => StatusCode::CONFLICT,
        };
        Problem(status, error.to_string())
    }
}

fn bad(error: impl ToString) -> Problem {
    Problem(StatusCode::BAD_REQUEST, error.to_string())
}

fn bytes(body: Body) -> Result<Bytes, Problem> {
    body.map_err(|rejection| Problem(rejection.status(), rejection.body_text()))
}

fn parse<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    serde_json::from_slice(&bytes(body)?).map_err(bad)
}

/// Nothing to tell but that it was done.
fn done() -> Response {
    Json(json!({})).into_response()
}

pub(crate) async fn unknown() -> Problem {
    Problem(StatusCode::NOT_FOUND, "there is no such path; all are under /v1".to_owned())
}

pub(crate) async fn not_allowed() -> Problem {
    Problem(StatusCode::METHOD_NOT_ALLOWED, "the path takes another method".to_owned())
}

pub(crate) async fn call(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let call = parse(body)?;
    match hall.call(call).await {
        Ok(answer) => Ok(Json(answer).into_response()),
        Err(_) => Err(Problem(StatusCode::SERVICE_UNAVAILABLE, "the cloud was reset".to_owned())),
    }
}

pub(crate) async fn preflight(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let asked = parse(body)?;
    match hall.preflight(asked).await {
        Ok(answer) => Ok(Json(answer).into_response()),
        Err(_) => Err(Problem(StatusCode::SERVICE_UNAVAILABLE, "the cloud was reset".to_owned())),
    }
}

/// [`rhumb_api::Guarantees`] in JSON, with what a client has to know to tell what can be deployed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Promises {
    pub deduplicates: bool,
    pub list_lag_ms: u64,
    pub call_lag_ms: u64,
    #[serde(default)]
    pub regions: BTreeMap<Cloud, BTreeSet<String>>,
    #[serde(default)]
    pub instance_types: BTreeMap<Cloud, BTreeSet<String>>,
}

pub(crate) async fn guarantees(State(hall): State<Arc<Hall>>) -> Json<Promises> {
    let world = hall.with(|cloud| cloud.world().clone());
    let promised = world.guarantees();
    Json(Promises {
        deduplicates: promised.deduplicates,
        list_lag_ms: promised.list_lag_ms,
        call_lag_ms: promised.call_lag_ms,
        regions: world.regions,
        instance_types: world.instance_types,
    })
}

pub(crate) async fn now(State(hall): State<Arc<Hall>>) -> Response {
    Json(json!({ "now_ms": hall.with(|cloud| cloud.now_ms()) })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfLineage {
    lineage: Option<String>,
}

pub(crate) async fn inventory(
    State(hall): State<Arc<Hall>>,
    query: Result<Query<OfLineage>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(of) = query.map_err(bad)?;
    let mut all: Vec<Observed> = hall.with(|cloud| cloud.inventory());
    all.retain(|seen| of.lineage.as_ref().is_none_or(|lineage| seen.is_of(lineage)));
    Ok(Json(all).into_response())
}

pub(crate) async fn log(State(hall): State<Arc<Hall>>) -> Response {
    Json(hall.with(|cloud| cloud.log().to_vec())).into_response()
}

pub(crate) async fn bill(State(hall): State<Arc<Hall>>) -> Response {
    let bill = hall.with(|cloud| {
        let now = cloud.now_ms();
        cloud.bill(now)
    });
    Json(bill).into_response()
}

pub(crate) async fn world(State(hall): State<Arc<Hall>>) -> Response {
    Json(hall.with(|cloud| cloud.world().clone())).into_response()
}

pub(crate) async fn set_world(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let text = bytes(body)?;
    let world = hall.with(|cloud| {
        let world = cloud.world().patched(&text)?;
        cloud.set_world(world.clone());
        Ok::<World, crate::world::WorldError>(world)
    });
    Ok(Json(world.map_err(bad)?).into_response())
}

pub(crate) async fn reset(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let text = bytes(body)?;
    let world = if text.is_empty() { None } else { Some(World::from_json(&text).map_err(bad)?) };
    hall.reset(world);
    Ok(done())
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub handle: Handle,
    pub name: String,
    pub value: Option<Attr>,
}

pub(crate) async fn set(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let change: Change = parse(body)?;
    hall.with(|cloud| cloud.set_attribute(&change.handle, &change.name, change.value))?;
    Ok(done())
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Of {
    pub handle: Handle,
}

pub(crate) async fn vanish(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let of: Of = parse(body)?;
    hall.with(|cloud| cloud.vanish(&of.handle))?;
    Ok(done())
}

pub(crate) async fn untag(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let of: Of = parse(body)?;
    hall.with(|cloud| cloud.untag(&of.handle))?;
    Ok(done())
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Healthy {
    pub handle: Handle,
    pub most: Option<u32>,
}

pub(crate) async fn healthy(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let of: Healthy = parse(body)?;
    hall.with(|cloud| cloud.set_healthy(&of.handle, of.most))?;
    Ok(done())
}

pub(crate) async fn plant(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let seen: Observed = parse(body)?;
    hall.with(|cloud| cloud.plant(seen))?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patience {
    timeout_ms: Option<u32>,
}

pub(crate) async fn held(
    State(hall): State<Arc<Hall>>,
    query: Result<Query<Patience>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(patience) = query.map_err(bad)?;
    let at_most = Duration::from_millis(u64::from(patience.timeout_ms.unwrap_or(30_000)));
    Ok(Json(hall.held(at_most).await).into_response())
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Number {
    pub number: CallNo,
}

pub(crate) async fn release(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let which: Number = parse(body)?;
    if hall.with(|cloud| cloud.release(which.number)) {
        Ok(done())
    } else {
        Err(Problem(StatusCode::NOT_FOUND, "no such call is held".to_owned()))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Advance {
    pub advance_ms: u64,
}

pub(crate) async fn clock(State(hall): State<Arc<Hall>>, body: Body) -> Result<Response, Problem> {
    let by: Advance = parse(body)?;
    match hall.advance(by.advance_ms) {
        Some(now_ms) => Ok(Json(json!({ "now_ms": now_ms })).into_response()),
        None => Err(Problem(StatusCode::CONFLICT, "the clock goes by itself".to_owned())),
    }
}
