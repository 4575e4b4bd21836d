//! What goes to a cloud and what comes back: calls, and questions before them.

use rhumb_api::{Answer, Call, Cloud, ErrorKind, Preflight, ProviderError, ResourceKind, preflight};

use crate::world::Verb;

/// What is sent.
#[derive(Clone, Debug)]
pub enum Request {
    Call(Call),
    Preflight(Preflight),
}

impl Request {
    pub fn cloud(&self) -> Cloud {
        match self {
            Request::Call(call) => call.cloud(),
            Request::Preflight(asked) => asked.cloud,
        }
    }

    pub fn verb(&self) -> Verb {
        match self {
            Request::Call(call) => Verb::from(call),
            Request::Preflight(_) => Verb::Preflight,
        }
    }

    /// What sort of thing it is about; preflights are about no sort.
    pub fn kind(&self) -> Option<ResourceKind> {
        match self {
            Request::Call(call) => kind_of(call),
            Request::Preflight(_) => None,
        }
    }

    pub fn changes(&self) -> bool {
        matches!(self, Request::Call(call) if call.changes())
    }

    /// The answer that this was refused, or is not known to have been taken.
    pub fn refused(&self, error: ProviderError) -> Told {
        match self {
            Request::Call(_) => Told::Call(Err(error)),
            Request::Preflight(_) => Told::Preflight(Err(error)),
        }
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Told {
    Call(Answer),
    Preflight(preflight::Answer),
}

impl Told {
    pub fn error(&self) -> Option<ErrorKind> {
        let error = match self {
            Told::Call(answer) => answer.as_ref().err(),
            Told::Preflight(answer) => answer.as_ref().err(),
        };
        error.map(|error| error.kind)
    }
}

/// What sort of thing a call is about; lists are about no sort.
pub fn kind_of(call: &Call) -> Option<ResourceKind> {
    match call {
        Call::Create(order) => Some(order.resource.kind),
        Call::Update(handle, _) | Call::Delete(handle) | Call::Read(handle) => Some(handle.kind),
        Call::List(_) => None,
    }
}
