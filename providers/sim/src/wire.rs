//! Requests over plain HTTP to a loopback address, each sent once.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The largest reply that is taken, bytes.
const MOST_BYTES: usize = 256 << 20;

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoReply {
    /// Nobody listens there.
    #[error("no connection to the simulated cloud: {0}")]
    Refused(String),
    /// It took too long.
    #[error("the simulated cloud did not reply within {0} ms")]
    TimedOut(u128),
    /// The connection ended before the reply did.
    #[error("the connection to the simulated cloud broke: {0}")]
    Broken(String),
}

/// Why a text is no address of a simulated cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the http address of a loopback port")]
pub(crate) struct NotLoopback(pub String);

/// One end of the wire.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    http: Http<HttpConnector, Full<Bytes>>,
    base: String,
    pub timeout: Duration,
}

impl Wire {
    pub fn new(url: &str, timeout: Duration) -> Result<Self, NotLoopback> {
        let refuse = || NotLoopback(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| refuse())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if uri.scheme_str() != Some("http") || !loopback || !matches!(uri.path(), "" | "/") {
            return Err(refuse());
        }
        // Who asks decides on repeating: a request that may have had an effect is not sent again behind its back.
        let http = Http::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Ok(Wire { http, base: format!("{}/v1", url.trim_end_matches('/')), timeout })
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), NoReply> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| NoReply::Refused(error.to_string()))?;
        let exchange = async {
            let reply = self.http.request(request).await.map_err(|error| {
                if error.is_connect() {
                    NoReply::Refused(chain(&error))
                } else {
                    NoReply::Broken(chain(&error))
                }
            })?;
            let status = reply.status();
            match Limited::new(reply.into_body(), MOST_BYTES).collect().await {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) => Err(NoReply::Broken(error.to_string())),
            }
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(done) => done,
            Err(_) => Err(NoReply::TimedOut(self.timeout.as_millis())),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
