//! The provider that asks a simulated cloud over HTTP.

use std::time::Duration;

use hyper::{Method, StatusCode};
use rhumb_api::{
    Answer, Answering, Call, Capability, Cloud, ErrorKind, Guarantees, Preflight, Provider, ProviderError,
    Reply, Resource, malformed, preflight,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::Control;
use crate::inprocess::CLOUDS;
use crate::kinds::{capabilities, check_resource};
use crate::routes::Promises;
use crate::wire::Wire;
use crate::world::World;

/// How long a call may take, unless something else is said: real time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A [`Provider`] over the HTTP of [`crate::server`]. It sends every call once.
///
/// Every reply that does not come whole and in time is [`ErrorKind::UnknownOutcome`], as is a connection that is
/// refused, of which the message says so. What the server does not understand is [`ErrorKind::Invalid`].
#[derive(Clone, Debug)]
pub struct Client {
    wire: Wire,
    guarantees: Guarantees,
    /// Only with the regions and types that there are, as they were when it connected.
    world: World,
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address is not the http address of a loopback port.
    #[error("`{0}` is not the http address of a loopback port")]
    Address(String),
    /// Nobody answered there, or not as a simulated cloud does.
    #[error("{0}")]
    NoCloud(String),
}

impl Client {
    /// Finds out what the cloud at an address such as `http://127.0.0.1:8080` promises.
    ///
    /// # Errors
    /// The address is no loopback address, or no simulated cloud answers there.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        let wire = Wire::new(url, TIMEOUT).map_err(|error| ConnectError::Address(error.0))?;
        let no_cloud = |what: String| ConnectError::NoCloud(what);
        let (status, body) = wire
            .send(Method::GET, "/guarantees", Vec::new())
            .await
            .map_err(|error| no_cloud(error.to_string()))?;
        let promised: Promises = serde_json::from_slice(&body)
            .map_err(|_| no_cloud(format!("no simulated cloud answers at {url}: status {status}")))?;
        let guarantees = Guarantees {
            deduplicates: promised.deduplicates,
            list_lag_ms: promised.list_lag_ms,
            call_lag_ms: promised.call_lag_ms,
        };
        let world =
            World { regions: promised.regions, instance_types: promised.instance_types, ..World::default() };
        Ok(Client { wire, guarantees, world })
    }

    /// The same with another time that a call may take, in real time.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.wire.timeout = timeout;
        self
    }

    /// What is beside the calls: looking behind the scenes, and pulling strings there.
    pub fn control(&self) -> Control {
        Control::over(self.wire.clone())
    }

    async fn send(&self, call: &Call) -> Answer {
        let answer: Answer = self.post("/call", call, || malformed(call)).await?;
        match (&answer, call) {
            (Ok(Reply::One(_)), Call::List(_)) => Err(malformed(call)),
            (Ok(Reply::Many(_)), Call::List(_)) | (Ok(Reply::One(_)) | Err(_), _) => answer,
            (Ok(Reply::Many(_)), _) => Err(malformed(call)),
        }
    }

    async fn ask(&self, asked: &Preflight) -> preflight::Answer {
        let malformed = || {
            let message = "the reply to a preflight has the wrong form";
            ProviderError::new(ErrorKind::UnknownOutcome, message)
        };
        self.post("/preflight", asked, malformed).await?
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        malformed: impl Fn() -> ProviderError,
    ) -> Result<T, ProviderError> {
        let unknown = |what: String| Err(ProviderError::new(ErrorKind::UnknownOutcome, what));
        let body = match serde_json::to_vec(body) {
            Ok(body) => body,
            Err(error) => return Err(ProviderError::new(ErrorKind::Invalid, error.to_string())),
        };
        let (status, body) = match self.wire.send(Method::POST, path, body).await {
            Ok(reply) => reply,
            Err(error) => return unknown(error.to_string()),
        };
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|_| malformed()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                let text = String::from_utf8_lossy(&body).into_owned();
                Err(ProviderError::new(ErrorKind::Invalid, text))
            }
            other => unknown(format!("the simulated cloud replied with status {other}")),
        }
    }
}

impl Provider for Client {
    fn clouds(&self) -> &[Cloud] {
        &CLOUDS
    }

    fn simulated(&self) -> bool {
        true
    }

    fn guarantees(&self) -> Guarantees {
        self.guarantees
    }

    fn capabilities(&self) -> &[Capability] {
        capabilities()
    }

    fn can(&self, resource: &Resource) -> Result<(), String> {
        check_resource(resource, &self.world).map_err(|error| error.message)
    }

    fn preflight<'a>(&'a self, asked: &'a Preflight) -> preflight::Answering<'a> {
        Box::pin(self.ask(asked))
    }

    fn call<'a>(&'a self, call: &'a Call) -> Answering<'a> {
        Box::pin(self.send(call))
    }
}
