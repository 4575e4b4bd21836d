//! The server's other requests, for tests and demonstrations.

use std::time::Duration;

use hyper::Method;
use rhumb_api::{Attr, Handle, Observed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cloud::Held;
use crate::log::{CallNo, Entry};
use crate::meter::Bill;
use crate::routes::{Advance, Change, Healthy, Number, Of};
use crate::wire::Wire;
use crate::world::World;

/// Looks behind the scenes of a simulated cloud, and pulls strings there.
#[derive(Clone, Debug)]
pub struct Control {
    wire: Wire,
}

/// Why a request was not done: in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ControlError(String);

impl Control {
    pub(crate) fn over(wire: Wire) -> Self {
        Control { wire }
    }

    /// What there is in truth, of one lineage or of all.
    ///
    /// # Errors
    /// No reply, or an error in it; so with all others.
    pub async fn inventory(&self, lineage: Option<&str>) -> Result<Vec<Observed>, ControlError> {
        let all: Vec<Observed> = self.get("/inventory").await?;
        // Filtered here, so that a lineage needs no quoting.
        Ok(all.into_iter().filter(|seen| lineage.is_none_or(|lineage| seen.is_of(lineage))).collect())
    }

    /// What happened.
    ///
    /// # Errors
    /// No reply, or an error in it.
    pub async fn log(&self) -> Result<Vec<Entry>, ControlError> {
        self.get("/log").await
    }

    /// What was spent.
    ///
    /// # Errors
    /// No reply, or an error in it.
    pub async fn bill(&self) -> Result<Bill, ControlError> {
        self.get("/bill").await
    }

    /// The world as it is configured.
    ///
    /// # Errors
    /// No reply, or an error in it.
    pub async fn world(&self) -> Result<World, ControlError> {
        self.get("/world").await
    }

    /// Puts another world around what there is.
    ///
    /// # Errors
    /// No reply, or an error in it.
    pub async fn set_world(&self, world: &World) -> Result<World, ControlError> {
        self.post("/world", world).await
    }

    /// Starts anew with a world; nothing is left, calls under way are answered with a status of 503.
    ///
    /// # Errors
    /// No reply, or an error in it.
    pub async fn reset(&self, world: &World) -> Result<(), ControlError> {
        self.done("/reset", world).await
    }

    /// Changes or removes an attribute by hand.
    ///
    /// # Errors
    /// No reply, or there is no such thing.
    pub async fn set_attribute(
        &self,
        handle: &Handle,
        name: &str,
        value: Option<Attr>,
    ) -> Result<(), ControlError> {
        self.done("/set", &Change { handle: handle.clone(), name: name.to_owned(), value }).await
    }

    /// Takes all tags off a thing by hand.
    ///
    /// # Errors
    /// No reply, or there is no such thing.
    pub async fn untag(&self, handle: &Handle) -> Result<(), ControlError> {
        self.done("/untag", &Of { handle: handle.clone() }).await
    }

    /// Removes a thing by hand.
    ///
    /// # Errors
    /// No reply, or there is no such thing.
    pub async fn vanish(&self, handle: &Handle) -> Result<(), ControlError> {
        self.done("/vanish", &Of { handle: handle.clone() }).await
    }

    /// Lets at most so many machines of a thing answer their health check; `None` for all.
    ///
    /// # Errors
    /// No reply, or there is no such thing.
    pub async fn set_healthy(&self, handle: &Handle, most: Option<u32>) -> Result<(), ControlError> {
        self.done("/healthy", &Healthy { handle: handle.clone(), most }).await
    }

    /// Puts a thing there that was not ordered.
    ///
    /// # Errors
    /// No reply, or there is or was such a thing.
    pub async fn plant(&self, seen: &Observed) -> Result<(), ControlError> {
        self.done("/plant", seen).await
    }

    /// Waits until calls are held, at most for this time: none then.
    ///
    /// # Errors
    /// No reply, or an error in it.
    pub async fn held(&self, at_most: Duration) -> Result<Vec<Held>, ControlError> {
        self.get(&format!("/held?timeout_ms={}", u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX)))
            .await
    }

    /// Lets a held call go on.
    ///
    /// # Errors
    /// No reply, or no such call is held.
    pub async fn release(&self, number: CallNo) -> Result<(), ControlError> {
        self.done("/release", &Number { number }).await
    }

    /// Moves a clock that is moved by hand, by virtual milliseconds.
    ///
    /// # Errors
    /// No reply, or the clock goes by itself.
    pub async fn advance(&self, advance_ms: u64) -> Result<(), ControlError> {
        self.done("/clock", &Advance { advance_ms }).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        self.exchange(Method::GET, path, Vec::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ControlError> {
        let body = serde_json::to_vec(body).map_err(|error| ControlError(error.to_string()))?;
        self.exchange(Method::POST, path, body).await
    }

    async fn done(&self, path: &str, body: &impl Serialize) -> Result<(), ControlError> {
        self.post::<serde_json::Value>(path, body).await.map(drop)
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ControlError> {
        let sent = self.wire.send(method, path, body).await;
        let (status, body) = sent.map_err(|error| ControlError(error.to_string()))?;
        if !status.is_success() {
            return Err(ControlError(format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| ControlError(error.to_string()))
    }
}
