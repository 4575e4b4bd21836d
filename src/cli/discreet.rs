//! What clouds say, fit to be shown and recorded.

use std::sync::Arc;

use rhumb_api::{
    Answer, Answering, Call, Capability, Cloud, Guarantees, Observed, Preflight, Provider, ProviderError,
    Reply, Resource, Status, preflight,
};

use super::failure::without_secrets;
use super::state::clean;

/// An adapter whose words neither repeat a secret of the environment nor hold a command to a terminal, whoever shows or records them.
pub struct Discreet(pub Arc<dyn Provider>);

fn words(text: &str) -> String {
    clean(&without_secrets(text))
}

fn error(error: ProviderError) -> ProviderError {
    ProviderError { message: words(&error.message), ..error }
}

fn observed(mut seen: Observed) -> Observed {
    if let Status::Failed(why) = seen.status {
        seen.status = Status::Failed(error(why));
    }
    seen
}

fn answer(answer: Answer) -> Answer {
    match answer {
        Ok(Reply::One(seen)) => Ok(Reply::One(seen.map(observed))),
        Ok(Reply::Many(all)) => Ok(Reply::Many(all.into_iter().map(observed).collect())),
        Err(why) => Err(error(why)),
    }
}

impl Provider for Discreet {
    fn clouds(&self) -> &[Cloud] {
        self.0.clouds()
    }

    fn simulated(&self) -> bool {
        self.0.simulated()
    }

    fn guarantees(&self) -> Guarantees {
        self.0.guarantees()
    }

    fn capabilities(&self) -> &[Capability] {
        self.0.capabilities()
    }

    fn can(&self, resource: &Resource) -> Result<(), String> {
        self.0.can(resource)
    }

    fn preflight<'a>(&'a self, asked: &'a Preflight) -> preflight::Answering<'a> {
        Box::pin(async move {
            let mut found = self.0.preflight(asked).await.map_err(error)?;
            found.iter_mut().for_each(|finding| finding.message = words(&finding.message));
            Ok(found)
        })
    }

    fn call<'a>(&'a self, call: &'a Call) -> Answering<'a> {
        Box::pin(async move { answer(self.0.call(call).await) })
    }
}
